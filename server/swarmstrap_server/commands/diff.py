# SPDX-License-Identifier: GPL-2.0-or-later
"""`swarmstrap diff`: what the site folder means for whom that it did not mean before."""

import argparse

from rich.console import Console

from swarmstrap_server.commands import Commands
from swarmstrap_server.commands.show import spoken
from swarmstrap_server.commands.telling import add_json, print_json
from swarmstrap_server.site.differing import Difference, differences
from swarmstrap_server.site.ranges import fold
from swarmstrap_server.site.reading import read_site
from swarmstrap_server.site.versions import read_version


def add_commands(commands: Commands) -> None:
    diff = commands.add_parser("diff", help="what changed in the site folder, and for whom")
    diff.add_argument(
        "--from",
        dest="before",
        default="HEAD",
        metavar="REVISION|DIR",
        help="compare with a revision in git, or another folder (default: HEAD, what is committed)",
    )
    add_json(diff)
    diff.set_defaults(run=_diff)


def _diff(args: argparse.Namespace) -> int:
    found = differences(read_version(args.site, args.before), read_site(args.site))
    if args.json:
        print_json(found)
        return 0
    console = Console(highlight=False)
    for difference in found:
        console.print(_line(difference), markup=False, soft_wrap=True)
    if not found:
        print(f"nothing changed since {args.before}")
    return 0


def _line(difference: Difference) -> str:
    whom = fold(difference.nodes) if difference.nodes else "no node"
    if difference.what == "node":
        return f"{whom}: {difference.change}"
    if difference.before is None and difference.after is None:
        return f"{whom}: {difference.what} is {difference.change}"
    if not difference.nodes:
        whom = "the site"
    place = f" ({difference.place})" if difference.place else ""
    old, new = (
        "nothing" if value is None else spoken(value) or "nothing"
        for value in (difference.before, difference.after)
    )
    return f"{whom}: {difference.what}: {old} -> {new}{place}"
