# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands about rollouts: rollout ls, show, cancel, retry."""

import argparse
import time
from typing import TypeAlias

import msgspec
from rich.console import Console
from rich.table import Table

from swarmstrap.errors import BadInput
from swarmstrap_server.commands.following import duration, exit_of, progress, result, wait
from swarmstrap_server.commands.reaching import operator
from swarmstrap_server.control.client import Operator
from swarmstrap_server.rollouts.values import Rollout

_LATEST = 20
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_commands(commands: Commands) -> None:
    rollout = commands.add_parser("rollout", help="what deploy began, and what became of it")
    actions = rollout.add_subparsers(metavar="ACTION", required=True)
    ls = actions.add_parser("ls", help="the last ones, newest first")
    ls.set_defaults(run=_ls, remote=True)
    show = actions.add_parser("show", help="one of them, node by node")
    show.set_defaults(run=_show, remote=True)
    cancel = actions.add_parser("cancel", help="begin with no further node")
    cancel.set_defaults(run=_cancel, remote=True)
    retry = actions.add_parser("retry", help="the same again, for the nodes that failed")
    retry.add_argument("--wait", action="store_true", help="stay until all have ended")
    retry.set_defaults(run=_retry, remote=True)
    for action in (show, cancel, retry):
        action.add_argument("rollout", nargs="?", default="", help="default: the newest")
    for action in (ls, show, cancel, retry):
        action.add_argument("--json", action="store_true", help="for machines")


def _ls(args: argparse.Namespace) -> int:
    rollouts = operator(args).rollouts(_LATEST)
    if args.json:
        print(msgspec.json.encode(rollouts).decode())
        return 0
    table = Table(box=None, pad_edge=False)
    for title in ("rollout", "began", "what", "nodes", "took"):
        table.add_column(title)
    for one in rollouts:
        began = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(one.created))
        took = duration(one.ended - one.created) if one.ended else "under way"
        table.add_row(one.id, began, one.title, progress(one.states), took)
    Console().print(table)
    return 0


def _show(args: argparse.Namespace) -> int:
    server = operator(args)
    rollout = _named(server, args.rollout)
    if args.json:
        print(msgspec.json.encode(rollout).decode())
        return 0
    ordered = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(rollout.created))
    print(f"rollout {rollout.id}, ordered by {rollout.by} at {ordered}")
    table = Table(box=None, pad_edge=False)
    for title in ("node", "state", "since", "tries"):
        table.add_column(title)
    for member in rollout.members:
        since = time.strftime("%H:%M:%S", time.localtime(member.since))
        table.add_row(member.node, member.state, since, str(member.tries))
    Console().print(table)
    Console().print(result(rollout))
    return 0


def _cancel(args: argparse.Namespace) -> int:
    server = operator(args)
    _tell(args, server.cancel(_named(server, args.rollout).id))
    return 0


def _retry(args: argparse.Namespace) -> int:
    server = operator(args)
    rollout = server.retry(_named(server, args.rollout).id)
    if not args.wait:
        _tell(args, rollout)
        return 0
    ended = wait(server, rollout.id, Console(), quiet=args.json)
    if args.json:
        print(msgspec.json.encode(ended).decode())
    return exit_of(ended)


def _tell(args: argparse.Namespace, rollout: Rollout) -> None:
    if args.json:
        print(msgspec.json.encode(rollout).decode())
    else:
        print(f"rollout {rollout.id}: {rollout.title}: {progress(rollout.summary.states)}")


def _named(server: Operator, key: str) -> Rollout:
    if key:
        return server.rollout(key)
    latest = next(iter(server.rollouts(1)), None)
    if latest is None:
        raise BadInput("nothing was deployed yet", hint="swarmstrap deploy IMAGE --to NODE")
    return server.rollout(latest.id)
