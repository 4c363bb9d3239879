# SPDX-License-Identifier: GPL-2.0-or-later
"""`swarmstrap power`: switch nodes by hand, and ask what their BMCs say."""

import argparse
from typing import TypeAlias, get_args

import msgspec
from rich.console import Console
from rich.table import Table

from swarmstrap.errors import with_hint
from swarmstrap_server.commands.exits import Exit
from swarmstrap_server.commands.reaching import operator
from swarmstrap_server.power.orders import PowerAction, PowerOrder

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_commands(commands: Commands) -> None:
    power = commands.add_parser("power", help="switch nodes on and off, or ask their state")
    power.add_argument("action", choices=get_args(PowerAction))
    power.add_argument("node", nargs="+", metavar="NODE|GROUP|all")
    power.add_argument("--hard", action="store_true", help="off without asking the system first")
    power.add_argument("--json", action="store_true", help="for machines")
    power.set_defaults(run=_power, remote=True)


def _power(args: argparse.Namespace) -> int:
    order = PowerOrder(nodes=tuple(args.node), action=args.action, hard=args.hard)
    results = operator(args).power(order)
    if args.json:
        print(msgspec.json.encode(results).decode())
    else:
        table = Table(box=None, pad_edge=False)
        for title in ("node", "driver", "power", "remarks"):
            table.add_column(title)
        for one in results:
            table.add_row(one.node, one.driver, one.state, with_hint(one.reason, one.hint))
        Console().print(table)
    failed = sum(bool(one.reason) for one in results)
    if not failed:
        return Exit.DONE
    return Exit.PARTLY if failed < len(results) else Exit.FAILED
