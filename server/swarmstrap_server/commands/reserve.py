# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands about nodes that are lent for a time: reserve, reservation ls, reservation end."""

import argparse
import time
from datetime import datetime

from rich.console import Console

from swarmstrap_server.commands import Commands
from swarmstrap_server.commands.deploy import add_choices, add_pace, arm_of, minutes, order_of
from swarmstrap_server.commands.following import exit_of, wait
from swarmstrap_server.commands.reaching import operator
from swarmstrap_server.commands.telling import add_json, print_json, print_table
from swarmstrap_server.rollouts.values import NewReservation, Reservation
from swarmstrap_server.site import ranges
from swarmstrap_server.times import clock_time


def add_commands(commands: Commands) -> None:
    reserve = commands.add_parser("reserve", help="deploy nodes for a time, then return them")
    reserve.add_argument("node", nargs="+", metavar="NODE|GROUP|all")
    reserve.add_argument("--image", required=True, metavar="IMAGE[:VERSION]")
    end = reserve.add_mutually_exclusive_group(required=True)
    end.add_argument("--until", type=_time, metavar="TIME", help="as in '2026-11-30 18:00'")
    end.add_argument("--for", dest="minutes", type=minutes, metavar="TIME", help="as in 4h or 2d")
    reserve.add_argument("--wait", action="store_true", help="stay until all are deployed")
    add_choices(reserve)
    add_pace(reserve)
    reserve.set_defaults(run=_reserve, remote=True)
    reservation = commands.add_parser("reservation", help="what is reserved")
    actions = reservation.add_subparsers(metavar="ACTION", required=True)
    ls = actions.add_parser("ls", help="the last ones, newest first")
    ls.set_defaults(run=_ls, remote=True)
    early = actions.add_parser("end", help="return the nodes now")
    early.add_argument("reservation")
    early.set_defaults(run=_end, remote=True)
    add_json(reserve, ls, early)


def _reserve(args: argparse.Namespace) -> int:
    order = order_of(args, arm_of(args, args.node))
    until = args.until if args.until is not None else time.time() + 60 * args.minutes
    server = operator(args)
    made = server.reserve(NewReservation(order=order, until=until))
    _tell(args, made)
    if not args.wait:
        return 0
    return exit_of(wait(server, made.rollout, Console(), quiet=args.json))


def _ls(args: argparse.Namespace) -> int:
    found = operator(args).reservations()
    if args.json:
        print_json(found)
        return 0
    print_table(("reservation", "by", "nodes", "image", "until", "remarks"), map(_row, found))
    return 0


def _row(one: Reservation) -> tuple[str, ...]:
    remark = "returned" if one.ended else one.reason
    image = f"{one.order.arm.image}:{one.order.arm.version}"
    return one.id, one.by, ranges.fold(one.nodes), image, clock_time(one.until), remark


def _end(args: argparse.Namespace) -> int:
    _tell(args, operator(args).end_reservation(args.reservation))
    return 0


def _tell(args: argparse.Namespace, one: Reservation) -> None:
    if args.json:
        print_json(one)
    elif one.tried is None:
        print(f"reservation {one.id}: {ranges.fold(one.nodes)} until {clock_time(one.until)}")
    else:
        left = f"{ranges.fold(one.left)} cannot be returned: {one.reason}" if one.left else ""
        print(f"reservation {one.id}: {left or f'{ranges.fold(one.nodes)} returns to the pool'}")


def _time(text: str) -> float:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        message = f"{text!r} is not a time, as in '2026-11-30 18:00'"
        raise argparse.ArgumentTypeError(message) from None
