# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands about the image store: image ls, show, tag, untag, rm, prune."""

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

from rich.table import Column

from swarmstrap.errors import BadInput, Refused
from swarmstrap.manifest import DiskFacts, Facts
from swarmstrap.units import human
from swarmstrap_server.commands import Commands, imagefiles, imagetrust
from swarmstrap_server.commands.reaching import operator
from swarmstrap_server.commands.telling import add_json, print_json, print_table, tell
from swarmstrap_server.control.usage import uses
from swarmstrap_server.images.library import ImageStore
from swarmstrap_server.images.listing import Listed, listed
from swarmstrap_server.images.names import check_name, split
from swarmstrap_server.images.retention import judge
from swarmstrap_server.site.paths import SitePaths
from swarmstrap_server.site.reading import check_folder, read_floors, read_site


def add_commands(commands: Commands) -> None:
    image = commands.add_parser("image", help="list, compare, check, exchange and remove images")
    actions = image.add_subparsers(metavar="ACTION", required=True)
    ls = actions.add_parser("ls", help="all images, oldest version first")
    ls.add_argument("name", nargs="?", help="only versions of this image")
    ls.set_defaults(run=_ls, remote=True)
    show = actions.add_parser("show", help="one image's manifest")
    show.set_defaults(run=_show, remote=True)
    tag = actions.add_parser("tag", help="give a version a moving name, such as stable")
    tag.set_defaults(run=_tag)
    untag = actions.add_parser("untag", help="take a moving name away")
    untag.add_argument("image", metavar="NAME:TAG")
    untag.set_defaults(run=_untag)
    rm = actions.add_parser("rm", help="remove one version")
    rm.add_argument("--force", action="store_true", help="even when it is in use")
    rm.set_defaults(run=_rm)
    for action in (show, tag, rm):
        action.add_argument("image", metavar="NAME[:VERSION]")
    tag.add_argument("tag")
    prune = actions.add_parser("prune", help="remove versions that images of site.yaml let go")
    prune.add_argument("--dry-run", action="store_true", help="say what would go, and why")
    prune.set_defaults(run=_prune)
    add_json(ls, show, tag, untag, rm, prune)
    imagefiles.add_actions(actions)
    imagetrust.add_actions(actions)


def _ls(args: argparse.Namespace) -> int:
    name = check_name(args.name, "an image") if args.name else None
    if args.elsewhere:
        there = operator(args).images()
        shown = [one for one in there if name in (None, one.manifest.name)]
    else:
        shown = _in_store(SitePaths(args.site), name)
    if args.json:
        print_json(shown)
        return 0
    columns = [
        *(Column(title, no_wrap=True) for title in ("image", "remarks", "architecture", "created")),
        Column("system"),
        *(Column(title, no_wrap=True, justify="right") for title in ("unpacked", "payload")),
    ]
    print_table(columns, map(_row, shown))
    return 0


def _in_store(paths: SitePaths, name: str | None) -> list[Listed]:
    """All, or those of one name; of those that cannot be used it only says so."""
    check_folder(paths)
    store = ImageStore(paths.images)
    found = store.scan(name)
    for error in found.broken:
        print(f"not usable: {error}", file=sys.stderr)
    floors, tagged = read_floors(paths), store.tags.all()
    return [listed(image, tagged.get(image.manifest.name, {}), floors) for image in found.images]


def _row(one: Listed) -> tuple[str, ...]:
    m = one.manifest
    sizes = (human(m.unpacked), human(m.payload.size))
    about = (m.architecture, m.created[:10], m.facts.os_name)
    remarks = ", ".join([*one.tags, *(["refused"] if one.refused else [])])
    return one.image, remarks, *about, *sizes


def _show(args: argparse.Namespace) -> int:
    wanted = split(args.image)
    shown = operator(args).image(*wanted) if args.elsewhere else _of_store(args.site, *wanted)
    if args.json:
        print_json(shown)
        return 0
    m = shown.manifest
    rows = {
        "image": shown.image,
        "kind": m.kind,
        "tags": ", ".join(shown.tags) or "none",
        "refused": shown.refused or "no",
        "folder": shown.folder,
        "created": m.created,
        "signed by": shown.signed_by or "nobody",
        "architecture": m.architecture,
        **(_disk(m.disk) if m.disk else _system(m.facts)),
        "entries": str(m.entries),
        "unpacked": human(m.unpacked),
        "payload": human(m.payload.size),
        "compression": m.compression,
        "infohash": m.infohash,
        "stripped": _lines(m.stripped),
        "left out": _lines(m.left_out),
        "warnings": _lines(m.warnings),
    }
    for key, value in rows.items():
        print(f"{key:<14}{value}")
    return 0


def _of_store(root: Path, name: str, version: str | None) -> Listed:
    paths = SitePaths(root)
    store = ImageStore(paths.images)
    return listed(store.get(name, version), store.tags.of(name), read_floors(paths))


def _system(facts: Facts) -> dict[str, str]:
    return {
        "system": facts.os_name,
        "kernels": ", ".join(kernel.version for kernel in facts.kernels) or "none found",
        "boots by": _loaders(facts) or "no boot loader found",
        "arguments": " ".join(facts.kernel_arguments) or "none of its own",
        "network": facts.network_stack,
    }


def _loaders(facts: Facts) -> str:
    found = [f"GRUB for {target}" for target in facts.grub_targets]
    found += ["shim and GRUB signed for Secure Boot"] if facts.signed_boot else []
    found += ["systemd-boot"] if facts.systemd_boot else []
    return ", ".join(found)


def _disk(disk: DiskFacts) -> dict[str, str]:
    table = "no partition table" if disk.table == "none" else f"partition table {disk.table}"
    return {
        "disk": f"{human(disk.size)} in sectors of {disk.logical_sector} bytes, {table}",
        "partitions": _lines(tuple(str(part) for part in disk.partitions)),
    }


def _lines(lines: tuple[str, ...]) -> str:
    return f"\n{'':14}".join(lines) or "none"


def _tag(args: argparse.Namespace) -> int:
    store = ImageStore(SitePaths(args.site).images)
    manifest = store.get(*split(args.image)).manifest
    name = manifest.name
    if store.place(name, check_name(args.tag, "a tag")).exists():
        raise BadInput(f"{name}:{args.tag} is a version", hint="choose another word for the tag")
    store.tags.set(name, args.tag, manifest.version)
    label = f"{name}:{manifest.version}"
    tell(args, {"image": label, "tag": args.tag}, f"{name}:{args.tag} is {label} now")
    return 0


def _untag(args: argparse.Namespace) -> int:
    name, tag = _one(args.image)
    ImageStore(SitePaths(args.site).images).tags.remove(name, tag)
    tell(args, {"removed": f"{name}:{tag}"}, f"{name}:{tag} is no tag any more")
    return 0


def _rm(args: argparse.Namespace) -> int:
    name, version = _one(args.image)
    paths = SitePaths(args.site)
    store = ImageStore(paths.images)
    use = uses(paths, store.tags.all()).get((name, version))
    if use is not None and not args.force:
        raise Refused(f"{name}:{version} is {use}", hint="--force removes it all the same")
    store.rm(name, version)
    tell(args, {"removed": f"{name}:{version}"}, f"removed {name}:{version}")
    return 0


def _prune(args: argparse.Namespace) -> int:
    site = read_site(args.site)
    store = ImageStore(site.paths.images)
    used = uses(site.paths, store.tags.all())
    verdicts = list(judge(store.ls(), site.settings.images, used, datetime.now(UTC)))
    for verdict in verdicts:
        if not verdict.stays and not args.dry_run:
            store.rm(verdict.image.manifest.name, verdict.image.manifest.version)
    if args.json:
        said = [{"image": v.image.label, "stays": v.stays, "reason": v.reason} for v in verdicts]
        print_json(said)
        return 0
    freed = sum(v.image.manifest.payload.size for v in verdicts if not v.stays)
    for verdict in verdicts:
        goes = "would go" if args.dry_run else "removed"
        print(f"{'stays' if verdict.stays else goes:<10}{verdict.image.label}: {verdict.reason}")
    print(f"{human(freed)} {'to be freed' if args.dry_run else 'freed'}")
    return 0


def _one(image: str) -> tuple[str, str]:
    """`NAME:WORD`, said in full: what removes something guesses nothing."""
    name, word = split(image)
    if word is None:
        raise BadInput("say which version to remove", hint=f"as in {name}:VERSION")
    return name, word
