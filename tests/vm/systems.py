# SPDX-License-Identifier: GPL-2.0-or-later
"""The demonstration's Debian with something in it, as an image and on a virtual node."""

import asyncio
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from swarmstrap.manifest import PAYLOAD_FILE
from swarmstrap_server import cli
from swarmstrap_server.images.library import Image, ImageStore
from swarmstrap_server.lab import demo
from swarmstrap_server.lab.lab_site import LabSite
from swarmstrap_server.lab.machines import VirtualNode
from swarmstrap_server.lab.rehearsal import Orders, Rehearsal, by_the_lab, rehearse
from swarmstrap_server.lab.report import Report
from swarmstrap_server.site.reading import read_site

BUILD = Path(__file__).parents[2] / "build"
DEMO = BUILD / "demo"


def demo_system(root: Path) -> None:
    """The tree of the demonstration's image, in the new directory `root`."""
    demo.prepare(DEMO)
    image = ImageStore(DEMO / "site" / "images").latest(demo.IMAGE)
    subprocess.run(["rm", "-rf", root], check=True)
    root.mkdir(parents=True)
    unpack = ["tar", "--zstd", "--xattrs", "--xattrs-include=*", "--acls", "--numeric-owner"]
    subprocess.run([*unpack, "-xpf", image.directory / PAYLOAD_FILE, "-C", root], check=True)


@contextmanager
def published(system: Path, name: str) -> Iterator[Image]:
    """An image of `system` in the demonstration's site, as long as it is needed."""
    store = ImageStore(DEMO / "site" / "images")
    if store.ls(name):
        store.rm(name, "1")
    site = ["--site", str(DEMO / "site")]
    if cli.main([*site, "capture", str(system), f"{name}:1", "--level", "1"]):
        raise RuntimeError(f"{system} cannot be captured")
    try:
        yield store.get(name, "1")
    finally:
        store.rm(name, "1")


def rehearsed(
    image: Image, node: VirtualNode, work: Path, nonce: str, orders: Orders = by_the_lab
) -> Report:
    """Deploy it to one node, as fast as its link goes."""
    rehearsal = Rehearsal(
        real=read_site(DEMO / "site"),
        image=image,
        nodes=(node,),
        lab=LabSite(layout="default", finish="reboot", seeder_rate="", nonce=nonce),
        work=work,
        orders=orders,
    )
    return asyncio.run(rehearse(rehearsal, lambda nodes: None))
