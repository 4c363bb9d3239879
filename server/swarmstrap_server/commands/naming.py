# SPDX-License-Identifier: GPL-2.0-or-later
"""`node name` and `node export`: machines that registered, and that no file of the site has."""

import argparse

from swarmstrap_server.commands import Commands
from swarmstrap_server.commands.reaching import operator
from swarmstrap_server.commands.telling import add_json, tell
from swarmstrap_server.control.naming import exported
from swarmstrap_server.control.operator_wire import Naming


def add_actions(actions: Commands) -> None:
    name = actions.add_parser("name", help="name a machine that was discovered")
    name.add_argument("node", help="what it is called now")
    name.add_argument("name", help="what it is to be called")
    name.add_argument("--groups", default="", metavar="GROUP,...", help="that it is to be in")
    name.set_defaults(run=_name, remote=True)
    export = actions.add_parser("export", help="print machines with a name as a node file")
    export.set_defaults(run=_export, remote=True)
    add_json(name, export)


def _name(args: argparse.Namespace) -> int:
    groups = tuple(filter(None, args.groups.split(",")))
    view = operator(args).name_node(args.node, Naming(name=args.name, groups=groups))
    tell(args, view, f"{args.node} is {view.name}, in {', '.join(view.groups)}")
    return 0


def _export(args: argparse.Namespace) -> int:
    named = operator(args).names()
    tell(args, named, exported(named).rstrip("\n"))
    return 0
