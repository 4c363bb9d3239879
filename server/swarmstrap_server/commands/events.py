# SPDX-License-Identifier: GPL-2.0-or-later
"""`swarmstrap events add`: what a node could not tell a server that was away."""

import argparse
import sys
from pathlib import Path

import msgspec

from swarmstrap.errors import BadInput
from swarmstrap.wire import UNHEARD, Unheard
from swarmstrap_server.commands import Commands
from swarmstrap_server.commands.reaching import operator
from swarmstrap_server.commands.telling import add_json, tell
from swarmstrap_server.control.operator_wire import Added


def add_commands(commands: Commands) -> None:
    events = commands.add_parser("events", help="what nodes said")
    actions = events.add_subparsers(metavar="ACTION", required=True)
    add = actions.add_parser("add", help="bring what a node could not tell its server")
    add.add_argument("node")
    add.add_argument("file", help=f"{UNHEARD} of the node's system, or - for standard input")
    add.set_defaults(run=_add, remote=True)
    add_json(add)


def _add(args: argparse.Namespace) -> int:
    added = operator(args).add_events(args.node, _read(args.file))
    tell(args, added, _said(args.node, added))
    return 0


def _said(node: str, added: Added) -> str:
    deployment = added.deployment
    return (
        f"{node}: {added.new} new events, {added.heard} heard before; {deployment.title} is "
        f"{deployment.state}"
    )


def _read(name: str) -> Unheard:
    try:
        content = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise BadInput(f"cannot read {name}: {error.strerror}") from error
    try:
        return msgspec.json.decode(content, type=Unheard)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        shown = "standard input" if name == "-" else name
        raise BadInput(f"{shown} is not a {UNHEARD} of a node: {error}") from error
