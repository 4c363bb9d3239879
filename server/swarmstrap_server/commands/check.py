# SPDX-License-Identifier: GPL-2.0-or-later
"""`swarmstrap check`: the whole site read, and what is wrong in it."""

import argparse
import sys

from swarmstrap_server.checkup import check_site
from swarmstrap_server.commands import Commands
from swarmstrap_server.commands.reaching import operator
from swarmstrap_server.commands.telling import add_json, print_json


def add_commands(commands: Commands) -> None:
    check = commands.add_parser("check", help="read the whole site and say what is wrong")
    add_json(check)
    check.set_defaults(run=_check, remote=True)


def _check(args: argparse.Namespace) -> int:
    found = operator(args).check() if args.elsewhere else check_site(args.site)
    if args.json:
        print_json(found)
    elif found.problems:
        print("\n".join(found.problems), file=sys.stderr)
    else:
        print(
            f"site {found.site}: nothing wrong "
            f"(nodes: {found.nodes}, layouts: {found.layouts}, hooks: {found.hooks})"
        )
    return 1 if found.problems else 0
