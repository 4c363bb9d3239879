# SPDX-License-Identifier: GPL-2.0-or-later
"""`swarmstrap power`: switch nodes by hand, and ask what their BMCs say."""

import argparse
from typing import get_args

from swarmstrap.errors import with_hint
from swarmstrap_server.commands import Commands
from swarmstrap_server.commands.exits import Exit
from swarmstrap_server.commands.reaching import operator
from swarmstrap_server.commands.telling import add_json, print_json, print_table
from swarmstrap_server.power.orders import PowerAction, PowerOrder


def add_commands(commands: Commands) -> None:
    power = commands.add_parser("power", help="switch nodes on and off, or ask their state")
    power.add_argument("action", choices=get_args(PowerAction))
    power.add_argument("node", nargs="+", metavar="NODE|GROUP|all")
    power.add_argument("--hard", action="store_true", help="off without asking the system first")
    add_json(power)
    power.set_defaults(run=_power, remote=True)


def _power(args: argparse.Namespace) -> int:
    order = PowerOrder(nodes=tuple(args.node), action=args.action, hard=args.hard)
    results = operator(args).power(order)
    if args.json:
        print_json(results)
    else:
        print_table(
            ("node", "driver", "power", "remarks"),
            ((r.node, r.driver, r.state, with_hint(r.reason, r.hint)) for r in results),
        )
    failed = sum(bool(one.reason) for one in results)
    if not failed:
        return Exit.DONE
    return Exit.PARTLY if failed < len(results) else Exit.FAILED
