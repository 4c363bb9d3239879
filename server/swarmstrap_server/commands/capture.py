# SPDX-License-Identifier: GPL-2.0-or-later
"""The capture command: from a system to a signed image."""

import argparse
import sys
from pathlib import Path
from typing import get_args

from swarmstrap.manifest import ImageKind, Manifest
from swarmstrap.units import human
from swarmstrap_server.commands import Commands
from swarmstrap_server.commands.meter import Meter
from swarmstrap_server.commands.telling import print_json
from swarmstrap_server.images import strip
from swarmstrap_server.images.library import ImageStore
from swarmstrap_server.images.names import split
from swarmstrap_server.images.publish import Progress, Published, publish
from swarmstrap_server.images.signing import Key
from swarmstrap_server.images.sources.choose import Room, Wishes, chosen
from swarmstrap_server.site.paths import SitePaths


def add_commands(commands: Commands) -> None:
    capture = commands.add_parser("capture", help="make a signed image from a system")
    add = capture.add_argument
    add(
        "source",
        help="a directory, a tar of one, a container image, a disk image, or ssh://[USER@]HOST[/PATH]",
    )
    add("image", metavar="NAME[:VERSION]", help="default version: today's next")
    add("--key", type=Path, help="the publisher's key (default: the site's)")
    add("--level", type=int, default=9, help="of compression (default: 9)")
    add("--json", action="store_true", help="the manifest as JSON, and nothing else")
    stripping = capture.add_argument_group("what is left out")
    add = stripping.add_argument
    add("--keep", action="append", default=[], metavar="RULE", help="do not strip by it; or `all`")
    add("--strip", action="append", default=[], metavar="GLOB", help="leave out what it matches")
    directory = capture.add_argument_group("of a directory").add_argument
    directory(
        "--cross", action="append", type=Path, default=[], metavar="DIR", help="a filesystem below"
    )
    container = capture.add_argument_group("of a container image").add_argument
    container("--platform", default="", help="as in linux/arm64 (default: this machine's)")
    container("--tag", default="", help="which one, where there are several")
    machine = capture.add_argument_group("of another machine").add_argument
    machine("--identity", type=Path, metavar="FILE", help="private key for ssh")
    machine("--known-hosts", type=Path, metavar="FILE", help="its host key")
    machine("--live", action="store_true", help="as it runs, without a snapshot")
    machine("--forget", action="store_true", help="remove the copy afterwards")
    disk = capture.add_argument_group("of a disk image").add_argument
    disk("--as", dest="kind", choices=get_args(ImageKind), help="default: disk")
    disk("--all-blocks", action="store_true", help="also those that no file uses")
    disk("--sector", type=int, choices=(512, 4096), help="of the disk (default: as its GPT says)")
    disk("--architecture", default="", help="what it runs on (default: as it tells, or `any`)")
    capture.set_defaults(run=_capture)


def _capture(args: argparse.Namespace) -> int:
    published = _publish(args)
    manifest = published.manifest
    if args.json:
        print_json(manifest)
        return 0
    _tell(manifest)
    print(
        f"{manifest.name}:{manifest.version}: {manifest.entries} entries, "
        f"{human(manifest.unpacked)} in {human(manifest.payload.size)}, {published.seconds:.0f} s"
    )
    return 0


def _publish(args: argparse.Namespace) -> Published:
    paths = SitePaths(args.site)
    store = ImageStore(paths.images)
    key = Key(args.key or paths.publisher)
    rules = strip.chosen(args.keep, args.strip)
    name, version = split(args.image)
    paths.images.mkdir(parents=True, exist_ok=True)
    room = Room(unpacking=paths.images, mirrors=paths.mirrors)
    with (
        Meter(quiet=args.json) as meter,
        chosen(args.source, _wishes(args), room, meter.show, rules) as (source, about),
    ):

        def show(progress: Progress) -> None:
            meter.show(f"capturing {name}", progress.read, progress.total)

        return publish(
            source,
            name,
            version,
            store,
            key,
            level=args.level,
            progress=show,
            strip=rules,
            about=about,
        )


def _wishes(args: argparse.Namespace) -> Wishes:
    return Wishes(
        cross=tuple(args.cross),
        platform=args.platform,
        tag=args.tag,
        identity=args.identity,
        known_hosts=args.known_hosts,
        live=args.live,
        forget=args.forget,
        kind=args.kind,
        all_blocks=args.all_blocks,
        sector=args.sector,
        architecture=args.architecture,
    )


def _tell(manifest: Manifest) -> None:
    for line in manifest.stripped:
        print(f"stripped {line}")
    for part in manifest.disk.partitions if manifest.disk else ():
        print(part)
    for line in manifest.left_out:
        print(f"left out {line}")
    for warning in manifest.warnings:
        print(f"warning: {warning}", file=sys.stderr)
