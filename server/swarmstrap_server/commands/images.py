# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands about the image store: image ls, show, verify, rm."""

import argparse
from typing import TypeAlias

import msgspec
from rich.console import Console
from rich.progress import Progress as Bars
from rich.table import Table

from swarmstrap.errors import BadInput
from swarmstrap.units import human
from swarmstrap_server.images.library import ImageStore
from swarmstrap_server.images.names import split
from swarmstrap_server.images.verify import verify
from swarmstrap_server.site.paths import SitePaths

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_commands(commands: Commands) -> None:
    image = commands.add_parser("image", help="list, show, verify and remove images")
    actions = image.add_subparsers(metavar="ACTION", required=True)
    ls = actions.add_parser("ls", help="all images, oldest version first")
    ls.add_argument("--json", action="store_true", help="manifests as JSON")
    ls.set_defaults(run=_ls)
    show = actions.add_parser("show", help="one image's manifest")
    show.add_argument("--json", action="store_true", help="as it is signed")
    show.set_defaults(run=_show)
    verify = actions.add_parser("verify", help="check signature, digests, torrent and every frame")
    verify.set_defaults(run=_verify)
    rm = actions.add_parser("rm", help="remove one version")
    rm.set_defaults(run=_rm)
    for action in (show, verify, rm):
        action.add_argument("image", metavar="NAME[:VERSION]")


def _ls(args: argparse.Namespace) -> int:
    images = ImageStore(SitePaths(args.site).images).ls()
    if args.json:
        print(msgspec.json.encode([image.manifest for image in images]).decode())
        return 0
    table = Table(box=None, pad_edge=False)
    for title in ("image", "architecture", "created", "system", "unpacked", "payload"):
        right = title in ("unpacked", "payload")
        table.add_column(title, justify="right" if right else "left", no_wrap=title != "system")
    for image in images:
        m = image.manifest
        sizes = (human(m.unpacked), human(m.payload.size))
        table.add_row(image.label, m.architecture, m.created[:10], m.facts.os_name, *sizes)
    Console().print(table)
    return 0


def _show(args: argparse.Namespace) -> int:
    image = ImageStore(SitePaths(args.site).images).get(*split(args.image))
    m = image.manifest
    if args.json:
        print(msgspec.json.encode(m).decode())
        return 0
    kernels = ", ".join(kernel.version for kernel in m.facts.kernels) or "none found"
    rows = {
        "image": image.label,
        "folder": str(image.directory),
        "created": m.created,
        "architecture": m.architecture,
        "system": m.facts.os_name,
        "kernels": kernels,
        "boots by": ", ".join(m.facts.grub_targets) or "no GRUB platform found",
        "network": m.facts.network_stack,
        "entries": str(m.entries),
        "unpacked": human(m.unpacked),
        "payload": human(m.payload.size),
        "infohash": m.infohash,
        "stripped": f"\n{'':14}".join(m.stripped) or "nothing",
    }
    for key, value in rows.items():
        print(f"{key:<14}{value}")
    return 0


def _verify(args: argparse.Namespace) -> int:
    paths = SitePaths(args.site)
    image = ImageStore(paths.images).get(*split(args.image))
    console = Console(stderr=True)
    with Bars(console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task(f"verifying {image.label}", total=image.manifest.payload.size)
        verify(image, paths.signers, progress=lambda done, _: bars.update(task, completed=done))
    print(f"{image.label} is what the publisher signed")
    return 0


def _rm(args: argparse.Namespace) -> int:
    name, version = split(args.image)
    if version is None:
        raise BadInput("say which version to remove", hint=f"as in {name}:VERSION")
    ImageStore(SitePaths(args.site).images).rm(name, version)
    print(f"removed {name}:{version}")
    return 0
