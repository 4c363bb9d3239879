# SPDX-License-Identifier: GPL-2.0-or-later
"""`swarmstrap why`: what happened to a node, and what to do."""

import argparse

from swarmstrap_server.commands import Commands
from swarmstrap_server.commands.reaching import operator
from swarmstrap_server.commands.telling import add_json, tell


def add_commands(commands: Commands) -> None:
    why = commands.add_parser("why", help="what happened to a node, and what to do")
    why.add_argument("node")
    add_json(why)
    why.set_defaults(run=_why, remote=True)


def _why(args: argparse.Namespace) -> int:
    told = operator(args).why(args.node)
    happened = told.happened or ("nothing happened to it yet",)
    tell(
        args,
        told,
        f"{told.node} is {told.state}",
        *(f"  {line}" for line in happened),
        f"what to do: {told.to_do}",
    )
    return 0
