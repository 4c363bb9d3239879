# SPDX-License-Identifier: GPL-2.0-or-later
"""`swarmstrap webhooks`: who is told of what ends, what became of the messages, and a trial."""

import argparse
from collections.abc import Sequence

from swarmstrap.errors import BadInput
from swarmstrap_server.commands import Commands
from swarmstrap_server.commands.exits import Exit
from swarmstrap_server.commands.reaching import operator
from swarmstrap_server.commands.telling import add_json, print_json, print_table, tell
from swarmstrap_server.control.client import Operator
from swarmstrap_server.control.operator_wire import Delivery, Hook
from swarmstrap_server.site.checks import one_of
from swarmstrap_server.times import clock_time, time_of_day


def add_commands(commands: Commands) -> None:
    webhooks = commands.add_parser("webhooks", help="who is told of what ends, and whether it was")
    webhooks.add_argument("name", nargs="?", metavar="NAME", help="its last messages, try by try")
    webhooks.add_argument(
        "--test", action="store_true", help="send it a trial, and say what it answered"
    )
    add_json(webhooks)
    webhooks.set_defaults(run=_webhooks, remote=True)


def _webhooks(args: argparse.Namespace) -> int:
    server = operator(args)
    if args.test:
        return _test(args, server)
    found = server.webhooks()
    if args.name:
        return _history(args, found)
    if args.json:
        print_json(found)
    else:
        print_table(
            ("webhook", "url", "last message", "tries", "state", "outcome"), map(_row, found)
        )
    return 0


def _row(hook: Hook) -> tuple[str, ...]:
    url = hook.url if hook.in_site else f"{hook.url}, not in the site"
    if not hook.deliveries:
        return hook.name, url, "", "", "nothing sent yet", ""
    last = hook.deliveries[0]
    made, tries = clock_time(last.made), str(last.attempts)
    return hook.name, url, made, tries, _state(last), last.outcome


def _history(args: argparse.Namespace, hooks: Sequence[Hook]) -> int:
    if complaint := one_of(args.name, [hook.name for hook in hooks], "webhook"):
        raise BadInput(complaint, hint="see swarmstrap webhooks")
    hook = next(hook for hook in hooks if hook.name == args.name)
    if args.json:
        print_json(hook)
        return 0
    rows = (
        (clock_time(one.made), one.event, one.node or one.subject, _state(one), _tries(one))
        for one in hook.deliveries
    )
    print_table(("made", "event", "of", "state", "tries"), rows)
    return 0


def _tries(one: Delivery) -> str:
    return "; ".join(f"{time_of_day(each.at)} {each.outcome}" for each in one.tries)


def _state(one: Delivery) -> str:
    if one.next_try is not None:
        return f"next try {clock_time(one.next_try)}"
    return "delivered" if one.delivered else "given up"


def _test(args: argparse.Namespace, server: Operator) -> int:
    if not args.name:
        raise BadInput(
            "a trial is for one webhook", hint="name it: swarmstrap webhooks NAME --test"
        )
    sent = server.test_webhook(args.name)
    taken = "took the trial" if sent.delivered else "did not take the trial"
    tell(args, sent, f"{args.name} {taken}: {sent.outcome}")
    return Exit.DONE if sent.delivered else Exit.FAILED
