# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands about who may use the API from elsewhere: token add, ls, revoke."""

import argparse
import time

from swarmstrap_server.commands import Commands
from swarmstrap_server.commands.reaching import operator
from swarmstrap_server.commands.telling import add_json, print_json, print_table, tell
from swarmstrap_server.control.operator_wire import ROLES, NewToken


def add_commands(commands: Commands) -> None:
    token = commands.add_parser("token", help="who may use the API and the dashboard")
    actions = token.add_subparsers(metavar="ACTION", required=True)
    add = actions.add_parser("add", help="make a token, and print it this once")
    add.add_argument("name", help="lower-case letters, digits and '-'")
    add.add_argument("--role", choices=ROLES, default="viewer", help="default: viewer")
    add.add_argument("--days", type=float, help="default: until it is revoked")
    add.set_defaults(run=_add, remote=True)
    ls = actions.add_parser("ls", help="all tokens, without their secrets")
    ls.set_defaults(run=_ls, remote=True)
    revoke = actions.add_parser("revoke", help="end a token, and every login made with it")
    revoke.add_argument("name")
    revoke.set_defaults(run=_revoke, remote=True)
    add_json(add, ls)


def _add(args: argparse.Namespace) -> int:
    secret = operator(args).add_token(NewToken(name=args.name, role=args.role, days=args.days))
    tell(args, {"token": secret}, secret)
    return 0


def _ls(args: argparse.Namespace) -> int:
    tokens = operator(args).tokens()
    if args.json:
        print_json(tokens)
        return 0
    print_table(
        ("token", "role", "made", "expires", "last used"),
        ((t.name, t.role, _day(t.created), _day(t.expires), _day(t.used)) for t in tokens),
    )
    return 0


def _revoke(args: argparse.Namespace) -> int:
    operator(args).revoke_token(args.name)
    return 0


def _day(seconds: float | None) -> str:
    return "never" if seconds is None else time.strftime("%Y-%m-%d", time.localtime(seconds))
