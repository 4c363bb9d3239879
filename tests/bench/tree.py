# SPDX-License-Identifier: GPL-2.0-or-later
"""The tree that apply and capture are measured with: Debian with the tools of a programmer."""

import shutil
from collections.abc import Callable
from pathlib import Path

from tests.bench.links import NETWORK

from swarmstrap.errors import SwarmstrapError
from swarmstrap_server.images.library import Image, ImageStore
from swarmstrap_server.images.publish import publish
from swarmstrap_server.images.signing import Key
from swarmstrap_server.images.sources.directory import Directory
from swarmstrap_server.lab.debian import Selection, build_debian
from swarmstrap_server.site import making
from swarmstrap_server.site.paths import SitePaths

PLACE = Path("build/bench")
SITE = PLACE / "site"
NAME = "workstation"

# About 80,000 files in 2 GB: programs and libraries, kernel modules, headers, manuals.
WORKSTATION = Selection(
    (
        "build-essential",
        "emacs-nox",
        "gdb",
        "git",
        "golang-src",
        "initramfs-tools",
        "iproute2",
        "libboost-dev",
        "linux-headers-amd64",
        "linux-image-amd64",
        "manpages-dev",
        "openssh-server",
        "python3-dev",
        "python3-scipy",
        "python3-sphinx",
        "systemd-sysv",
        "udev",
        "vim",
    )
)


def tree(say: Callable[[str], None]) -> Path:
    """Made by the first run that needs it."""
    place, whole = PLACE / "tree", PLACE / "tree.whole"
    if not whole.exists():
        build_debian(place, cache=PLACE / "packages", selection=WORKSTATION, say=say)
        whole.touch()
    return place


def image(say: Callable[[str], None]) -> Image:
    """The tree as the latest image of the site beside it; another index format makes a new one."""
    making.init(SITE, "bench", [str(NETWORK[1])], None)
    paths = SitePaths(SITE)
    store = ImageStore(paths.images)
    try:
        return store.latest(NAME)
    except SwarmstrapError:
        shutil.rmtree(paths.images / NAME, ignore_errors=True)
        say("capturing the tree")
        publish(Directory(tree(say)), NAME, "1", store, Key(paths.publisher))
        return store.latest(NAME)
