# SPDX-License-Identifier: GPL-2.0-or-later
"""`node name` and `node export`: machines that registered, and that no file of the site has."""

import argparse
from typing import TypeAlias

import msgspec

from swarmstrap_server.commands.reaching import operator
from swarmstrap_server.control.naming import exported
from swarmstrap_server.control.operator_wire import Naming

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_actions(actions: Commands) -> None:
    name = actions.add_parser("name", help="name a machine that was discovered")
    name.add_argument("node", help="what it is called now")
    name.add_argument("name", help="what it is to be called")
    name.add_argument("--groups", default="", metavar="GROUP,...", help="that it is to be in")
    name.set_defaults(run=_name, remote=True)
    export = actions.add_parser("export", help="print machines with a name as a node file")
    export.set_defaults(run=_export, remote=True)
    for action in (name, export):
        action.add_argument("--json", action="store_true", help="for machines")


def _name(args: argparse.Namespace) -> int:
    groups = tuple(filter(None, args.groups.split(",")))
    view = operator(args).name_node(args.node, Naming(name=args.name, groups=groups))
    if args.json:
        print(msgspec.json.encode(view).decode())
    else:
        print(f"{args.node} is {view.name}, in {', '.join(view.groups)}")
    return 0


def _export(args: argparse.Namespace) -> int:
    named = operator(args).names()
    print(msgspec.json.encode(named).decode() if args.json else exported(named).rstrip("\n"))
    return 0
