# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands about rollouts: rollout ls, show, cancel, retry."""

import argparse

from rich.console import Console

from swarmstrap.errors import BadInput
from swarmstrap_server.commands import Commands
from swarmstrap_server.commands.following import duration, exit_of, progress, result, wait
from swarmstrap_server.commands.reaching import operator
from swarmstrap_server.commands.telling import add_json, print_json, print_table, tell
from swarmstrap_server.control.client import Operator
from swarmstrap_server.rollouts.values import Member, Rollout, RolloutSummary
from swarmstrap_server.times import clock_time, time_of_day

_LATEST = 20


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
    add_json(ls, show, cancel, retry)


def _ls(args: argparse.Namespace) -> int:
    rollouts = operator(args).rollouts(_LATEST)
    if args.json:
        print_json(rollouts)
        return 0
    print_table(("rollout", "began", "what", "nodes", "took"), map(_row, rollouts))
    return 0


def _row(one: RolloutSummary) -> tuple[str, ...]:
    began = clock_time(one.created)
    took = duration(one.ended - one.created) if one.ended else "under way"
    return one.id, began, one.title, progress(one.states), took


def _show(args: argparse.Namespace) -> int:
    server = operator(args)
    rollout = _named(server, args.rollout)
    if args.json:
        print_json(rollout)
        return 0
    ordered = clock_time(rollout.created)
    print(f"rollout {rollout.id}, ordered by {rollout.by} at {ordered}")
    print_table(("node", "state", "since", "tries"), map(_member, rollout.members))
    Console().print(result(rollout))
    return 0


def _member(member: Member) -> tuple[str, ...]:
    since = time_of_day(member.since)
    return member.node, member.state, since, str(member.tries)


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
        print_json(ended)
    return exit_of(ended)


def _tell(args: argparse.Namespace, rollout: Rollout) -> None:
    states = progress(rollout.summary.states)
    tell(args, rollout, f"rollout {rollout.id}: {rollout.title}: {states}")


def _named(server: Operator, key: str) -> Rollout:
    if key:
        return server.rollout(key)
    latest = next(iter(server.rollouts(1)), None)
    if latest is None:
        raise BadInput("nothing was deployed yet", hint="swarmstrap deploy IMAGE --to NODE")
    return server.rollout(latest.id)
