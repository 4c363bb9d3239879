# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands that read images to their ends: image verify, fsck, diff, export, import."""

import argparse
import sys
from functools import partial
from pathlib import Path

from swarmstrap.index import shown
from swarmstrap.units import human
from swarmstrap_server.commands import Commands
from swarmstrap_server.commands.meter import Meter
from swarmstrap_server.commands.telling import add_json, print_json, tell
from swarmstrap_server.images.diff import Changed, Difference, compare
from swarmstrap_server.images.exchange import (
    export_file,
    export_folder,
    export_tar,
    import_image,
)
from swarmstrap_server.images.fsck import fsck
from swarmstrap_server.images.library import Image, ImageStore
from swarmstrap_server.images.names import split
from swarmstrap_server.images.verify import Check, read_index, verify
from swarmstrap_server.site.paths import SitePaths

# Instead of a file: what is piped in or out.
_PIPE = "-"


def add_actions(actions: Commands) -> None:
    check = actions.add_parser("verify", help="check everything that nodes and tar rely on")
    check.set_defaults(run=_verify)
    whole = actions.add_parser("fsck", help="look for what is wrong in the whole store")
    whole.add_argument("--full", action="store_true", help="read every image, as verify does")
    whole.set_defaults(run=_fsck)
    diff = actions.add_parser("diff", help="what another version has, and what it costs to move")
    diff.add_argument("old", metavar="NAME[:VERSION]")
    diff.add_argument("new", metavar="NAME[:VERSION]")
    diff.add_argument("--files", action="store_true", help="every path that differs")
    diff.set_defaults(run=_diff)
    export = actions.add_parser("export", help="write an image to a folder or a tar")
    export.set_defaults(run=_export)
    for action in (check, export):
        action.add_argument("image", metavar="NAME[:VERSION]")
    export.add_argument("target", help="a new folder, FILE.tar, or - for stdout")
    bring = actions.add_parser("import", help="bring in what export wrote, once it is verified")
    bring.add_argument("source", help="a folder, a tar, or - for stdin")
    bring.set_defaults(run=_import)
    add_json(check, whole, diff, export, bring)


def _verify(args: argparse.Namespace) -> int:
    paths = SitePaths(args.site)
    image = ImageStore(paths.images).get(*split(args.image))

    def tell(check: Check) -> None:
        if not args.json:
            print(f"{check.name:<12}{check.said}")

    with Meter(quiet=args.json) as meter:
        show = partial(meter.show, f"verifying {image.label}")
        checks = verify(image, paths.signers, progress=show, tell=tell)
    if args.json:
        print_json({"image": image.label, "checks": checks})
    else:
        print(f"{image.label} is what the publisher signed")
    return 0


def _fsck(args: argparse.Namespace) -> int:
    paths = SitePaths(args.site)
    store = ImageStore(paths.images)
    with Meter(quiet=args.json) as meter:
        show = partial(meter.show, "reading the store")
        findings = list(fsck(store, paths.signers, full=args.full, progress=show))
    if args.json:
        print_json(findings)
    for finding in findings if not args.json else ():
        print(f"{finding.path}: {finding.problem} ({finding.advice})")
    if not findings and not args.json:
        print("nothing wrong in the store")
    return 1 if findings else 0


def _diff(args: argparse.Namespace) -> int:
    store = ImageStore(SitePaths(args.site).images)
    old, new = store.get(*split(args.old)), store.get(*split(args.new))
    found = compare(read_index(old), read_index(new))
    if args.json:
        print_json(_readable(old, new, found))
        return 0
    if args.files:
        for sign, paths in (("+", found.added), ("-", found.removed)):
            print("".join(f"{sign} {shown(path)}\n" for path in paths), end="")
        for change in found.changed:
            print(f"~ {shown(change.path)}: {', '.join(_what(change))}")
    contents = sum(change.content for change in found.changed)
    moved = found.moved
    print(
        f"{len(found.added)} added, {len(found.removed)} removed, {len(found.changed)} changed "
        f"({contents} in content)\n"
        f"{moved.shared} of {moved.frames} frames are in both payloads\n"
        f"a node with {old.label} moves {human(moved.bytes_changed)} of "
        f"{human(moved.bytes_all)}, in {moved.changed} frames\n"
        f"who has the payload of {old.label} moves {human(moved.bytes_not_shared)}"
    )
    return 0


def _readable(old: Image, new: Image, found: Difference) -> dict[str, object]:
    return {
        "old": old.label,
        "new": new.label,
        "added": [shown(path) for path in found.added],
        "removed": [shown(path) for path in found.removed],
        "changed": {shown(change.path): _what(change) for change in found.changed},
        "moved": found.moved,
    }


def _what(change: Changed) -> list[str]:
    return [*(["content"] if change.content else []), *change.metadata]


def _export(args: argparse.Namespace) -> int:
    image = ImageStore(SitePaths(args.site).images).get(*split(args.image))
    with Meter(quiet=args.json) as meter:
        if args.target == _PIPE:
            export_tar(image, sys.stdout.buffer, report=meter.show)
            return 0
        target = Path(args.target)
        export = export_file if target.suffix == ".tar" else export_folder
        export(image, target, report=meter.show)
    tell(args, {"image": image.label, "target": str(target)}, f"{image.label} is in {target}")
    return 0


def _import(args: argparse.Namespace) -> int:
    paths = SitePaths(args.site)
    source = sys.stdin.buffer if args.source == _PIPE else Path(args.source)
    with Meter(quiet=args.json) as meter:
        image = import_image(source, ImageStore(paths.images), paths.signers, report=meter.show)
    told = {"image": image.label, "folder": str(image.directory)}
    tell(args, told, f"imported {image.label}, verified")
    return 0
