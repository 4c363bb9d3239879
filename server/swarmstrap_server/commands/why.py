# SPDX-License-Identifier: GPL-2.0-or-later
"""`swarmstrap why`: what happened to a node, and what to do."""

import argparse
from typing import TypeAlias

import msgspec

from swarmstrap_server.commands.reaching import operator

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_commands(commands: Commands) -> None:
    why = commands.add_parser("why", help="what happened to a node, and what to do")
    why.add_argument("node")
    why.add_argument("--json", action="store_true", help="for machines")
    why.set_defaults(run=_why, remote=True)


def _why(args: argparse.Namespace) -> int:
    told = operator(args).why(args.node)
    if args.json:
        print(msgspec.json.encode(told).decode())
        return 0
    print(f"{told.node} is {told.state}")
    print("\n".join(f"  {line}" for line in told.happened or ("nothing happened to it yet",)))
    print(f"what to do: {told.to_do}")
    return 0
