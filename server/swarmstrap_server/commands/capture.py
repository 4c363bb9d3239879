# SPDX-License-Identifier: GPL-2.0-or-later
"""The capture command: from a system to a signed image."""

import argparse
import sys
from pathlib import Path
from typing import TypeAlias

from rich.console import Console
from rich.progress import Progress as Bars
from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

from swarmstrap.units import human
from swarmstrap_server.images.library import ImageStore
from swarmstrap_server.images.names import split
from swarmstrap_server.images.publish import Progress, publish
from swarmstrap_server.images.signing import Key
from swarmstrap_server.images.sources.directory import Directory
from swarmstrap_server.site.paths import SitePaths

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_commands(commands: Commands) -> None:
    capture = commands.add_parser("capture", help="make a signed image from a directory")
    capture.add_argument("source", type=Path, help="the root of a system: a directory or chroot")
    capture.add_argument("image", metavar="NAME[:VERSION]", help="default version: today's next")
    capture.add_argument("--key", type=Path, help="the publisher's key (default: the site's)")
    capture.add_argument("--level", type=int, default=9, help="of compression (default: 9)")
    capture.set_defaults(run=_capture)


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
            Directory(args.source),
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
    for line in manifest.left_out:
        print(f"left out {line}")
    for warning in manifest.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    print(
        f"{manifest.name}:{manifest.version}: {manifest.entries} entries, "
        f"{human(manifest.unpacked)} in {human(manifest.payload.size)}, {published.seconds:.0f} s"
    )
    return 0
