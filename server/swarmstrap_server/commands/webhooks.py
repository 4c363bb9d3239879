# SPDX-License-Identifier: GPL-2.0-or-later
"""`swarmstrap webhooks`: who is told of what ends, and what became of the last messages."""

import argparse
from collections.abc import Iterator

from swarmstrap_server.commands import Commands
from swarmstrap_server.commands.reaching import operator
from swarmstrap_server.commands.telling import add_json, print_json, print_table
from swarmstrap_server.control.operator_wire import Delivery, Hook
from swarmstrap_server.times import clock_time


def add_commands(commands: Commands) -> None:
    webhooks = commands.add_parser("webhooks", help="who is told of what ends, and whether it was")
    add_json(webhooks)
    webhooks.set_defaults(run=_webhooks, remote=True)


def _webhooks(args: argparse.Namespace) -> int:
    found = operator(args).webhooks()
    if args.json:
        print_json(found)
        return 0
    rows = (row for hook in found for row in _rows(hook))
    print_table(("webhook", "made", "tries", "state", "last outcome"), rows)
    return 0


def _rows(hook: Hook) -> Iterator[tuple[str, ...]]:
    url = hook.url if hook.in_site else f"{hook.url}, not in the site"
    if not hook.deliveries:
        yield url, "", "", "nothing sent yet", ""
    for one in hook.deliveries:
        yield url, clock_time(one.made), str(one.attempts), _state(one), one.outcome


def _state(one: Delivery) -> str:
    if one.next_try is not None:
        return f"next try {clock_time(one.next_try)}"
    return "delivered" if one.delivered else "given up"
