# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands about images: capture, and image ls, show, verify, rm."""

import argparse
import sys
from pathlib import Path
from typing import TypeAlias

import msgspec
from rich.console import Console
from rich.progress import Progress as Bars
from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from swarmstrap.errors import BadInput
from swarmstrap.units import human
from swarmstrap_server.images.library import ImageStore, verify
from swarmstrap_server.images.publish import Progress, publish
from swarmstrap_server.images.signing import Key
from swarmstrap_server.site.paths import SitePaths

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_commands(commands: Commands) -> None:
    capture = commands.add_parser("capture", help="make a signed image from a directory")
    capture.add_argument("source", type=Path, help="the root of a system: a directory or chroot")
    capture.add_argument("image", metavar="NAME[:VERSION]", help="default version: today's next")
    capture.add_argument("--key", type=Path, help="the publisher's key (default: the site's)")
    capture.add_argument("--level", type=int, default=9, help="of compression (default: 9)")
    capture.set_defaults(run=_capture)

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


def split(image: str) -> tuple[str, str | None]:
    """`debian:12.1` as name and version; the version is None when it is not said."""
    name, colon, version = image.partition(":")
    if colon and not version:
        raise BadInput(
            f"{image!r} has no version after the colon", hint="write NAME or NAME:VERSION"
        )
    return name, version or None


def _capture(args: argparse.Namespace) -> int:
    paths = SitePaths(args.site)
    name, version = split(args.image)
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Bars(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task(f"capturing {args.source}")

        def show(progress: Progress) -> None:
            read, written = human(progress.read), human(progress.written)
            bars.update(
                task, description=f"{progress.entries} entries, {read} read, {written} written"
            )

        published = publish(
            args.source,
            name,
            version,
            ImageStore(paths.images),
            Key(args.key or paths.publisher),
            level=args.level,
            progress=show,
        )
    manifest = published.manifest
    for line in manifest.stripped:
        print(f"stripped {line}")
    for warning in published.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    print(
        f"{manifest.name}:{manifest.version}: {manifest.entries} entries, "
        f"{human(manifest.unpacked)} in {human(manifest.payload.size)}, {published.seconds:.0f} s"
    )
    return 0


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
        verify(image, paths.allowed_signers, lambda done, _: bars.update(task, completed=done))
    print(f"{image.label} is what the publisher signed")
    return 0


def _rm(args: argparse.Namespace) -> int:
    name, version = split(args.image)
    if version is None:
        raise BadInput("say which version to remove", hint=f"as in {name}:VERSION")
    ImageStore(SitePaths(args.site).images).rm(name, version)
    print(f"removed {name}:{version}")
    return 0
