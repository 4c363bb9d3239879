# SPDX-License-Identifier: GPL-2.0-or-later
"""`swarmstrap deploy`: an image to nodes, switched on in windows, followed to the end if wanted."""

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from typing import get_args

from msgspec.structs import replace
from rich.console import Console

from swarmstrap.wire import Finish, Mode, Verify
from swarmstrap_server.commands import Commands
from swarmstrap_server.commands.following import exit_of, wait
from swarmstrap_server.commands.reaching import operator
from swarmstrap_server.commands.telling import add_json, print_json, tell
from swarmstrap_server.commands.watch import follow
from swarmstrap_server.control.operator_wire import Arm
from swarmstrap_server.images.names import split
from swarmstrap_server.images.signing import Key
from swarmstrap_server.rollouts.values import Order, Pace, Rollout, checked
from swarmstrap_server.site import ranges
from swarmstrap_server.site.reading import Site, read_site
from swarmstrap_server.site.signatures import sign
from swarmstrap_server.times import time_of_day

_DURATION = re.compile(r"([1-9][0-9]*)(m|h|d)?")
_MINUTES = {"": 1, "m": 1, "h": 60, "d": 24 * 60}
_WINDOW = re.compile(r"([1-9][0-9]{0,4})/([1-9][0-9]{0,4})s?")


def add_commands(commands: Commands) -> None:
    deploy = commands.add_parser("deploy", help="put an image on nodes")
    deploy.add_argument("image", metavar="IMAGE[:VERSION]")
    deploy.add_argument("--to", nargs="+", required=True, metavar="NODE|GROUP|all")
    deploy.add_argument("--watch", action="store_true", help="show every node until all have ended")
    deploy.add_argument("--wait", action="store_true", help="stay until all have ended")
    deploy.add_argument("--dry-run", action="store_true", help="say what would be done")
    deploy.add_argument(
        "--for", dest="minutes", type=minutes, metavar="TIME", help="how long, as in 30m or 2h"
    )
    deploy.add_argument(
        "--preserve",
        action="append",
        default=[],
        metavar="PATH",
        help="what an update leaves alone besides the site's list; may be repeated",
    )
    deploy.add_argument(
        "--allow-older", action="store_true", help="update to an older version, too"
    )
    add_choices(deploy)
    add_pace(deploy)
    add_json(deploy)
    deploy.set_defaults(run=_deploy, remote=True)


def add_choices(command: argparse.ArgumentParser) -> None:
    """What a deployment may do otherwise than the site says."""
    command.add_argument("--layout", default="", help="default: the node's, or the site's")
    command.add_argument(
        "--mode",
        choices=get_args(Mode),
        help="update: change only what differs (default: deploy)",
    )
    command.add_argument(
        "--verify", choices=get_args(Verify), help="full: read everything back from the disk"
    )
    command.add_argument("--finish", choices=get_args(Finish), help="default: the site's")


def add_pace(command: argparse.ArgumentParser) -> None:
    pace = Pace()
    command.add_argument(
        "--power",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="switch on the nodes that have power in their files",
    )
    command.add_argument(
        "--window",
        type=_window,
        default=(pace.actions, pace.seconds),
        metavar="N/SECONDS",
        help=f"nodes switched within so many seconds (default: {pace.actions}/{pace.seconds:.0f})",
    )
    command.add_argument(
        "--at-once", type=int, default=0, metavar="N", help="nodes at work at a time"
    )
    command.add_argument(
        "--retries",
        type=int,
        default=1,
        metavar="N",
        help="for a node that does not come or falls silent (default: 1)",
    )
    command.add_argument(
        "--power-seconds",
        type=float,
        default=pace.power_seconds,
        metavar="SECONDS",
        help=f"how long switching a node on may take (default: {pace.power_seconds:.0f})",
    )
    command.add_argument(
        "--boot-seconds",
        type=float,
        default=pace.boot_seconds,
        metavar="SECONDS",
        help=f"from there to its job, through its firmware (default: {pace.boot_seconds:.0f})",
    )


def arm_of(args: argparse.Namespace, nodes: Sequence[str]) -> Arm:
    """The image, and what `add_choices` has asked."""
    name, version = split(args.image)
    return Arm(
        nodes=tuple(nodes),
        image=name,
        version=version or "",
        layout=args.layout,
        finish=args.finish,
        mode=args.mode or "deploy",
        verify=args.verify,
    )


def order_of(args: argparse.Namespace, arm: Arm) -> Order:
    """With what `add_pace` has asked; raises BadInput."""
    actions, seconds = args.window
    pace = Pace(
        actions=actions,
        seconds=seconds,
        deploying=args.at_once,
        power_seconds=args.power_seconds,
        boot_seconds=args.boot_seconds,
    )
    return checked(Order(arm=arm, power=args.power, pace=pace, retries=args.retries))


def _deploy(args: argparse.Namespace) -> int:
    if not args.elsewhere:
        _sign(read_site(args.site))
    arm = replace(
        arm_of(args, args.to),
        minutes=args.minutes,
        preserve=tuple(args.preserve),
        allow_older=args.allow_older,
    )
    order = order_of(args, arm)
    server = operator(args)
    if args.dry_run:
        _show(args, server.plan_rollout(order))
        return 0
    rollout = server.deploy(order)
    if not args.json or not (args.watch or args.wait):
        _show(args, rollout)
    if args.watch:
        follow(server, rollout.order.arm.nodes, as_json=args.json)
    if not (args.watch or args.wait):
        return 0
    ended = wait(server, rollout.id, Console(), quiet=args.json or args.watch)
    if args.json and not args.watch:
        print_json(ended)
    return exit_of(ended)


def _show(args: argparse.Namespace, rollout: Rollout) -> None:
    tell(args, rollout, *_lines(rollout))


def _lines(rollout: Rollout) -> Iterator[str]:
    """With no identifier it is a plan."""
    image = rollout.title.partition(" to ")[0]
    yield f"rollout {rollout.id}: {rollout.title}" if rollout.id else f"plan: {rollout.title}"
    members, pace = rollout.members, rollout.order.pace
    if not rollout.id:
        by_hand = [m.node for m in members if not m.switched]
        by_server = [m.node for m in members if m.switched]
        if by_server:
            window = f"{pace.actions} within {pace.seconds:.0f} s"
            yield f"switched on by the server, {window}: {ranges.fold(by_server)}"
        if by_hand:
            yield f"armed, for somebody to start: {ranges.fold(by_hand)}"
        return
    armed = [m for m in members if m.until]
    for switched in (False, True):
        names = [m.node for m in armed if m.switched == switched]
        if names:
            until = time_of_day(min(m.until for m in armed))
            begins = ", and switched on" if switched else ""
            are = "is" if len(names) == 1 else "are"
            yield f"{ranges.fold(names)} {are} armed for {image} until {until}{begins}"
    waiting = [m.node for m in members if m.state == "waiting"]
    if waiting:
        yield f"to follow: {ranges.fold(waiting)}"


def _sign(site: Site) -> None:
    paths = site.paths
    if paths.publisher.exists():
        key = Key(paths.publisher)
        for one in (*sign(site, "hook", key), *sign(site, "overlay", key)):
            print(f"signed {one}", file=sys.stderr)


def minutes(text: str) -> int:
    found = _DURATION.fullmatch(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time, as in 30m, 2h or 1d")
    return int(found[1]) * _MINUTES[found[2] or ""]


def _window(text: str) -> tuple[int, float]:
    found = _WINDOW.fullmatch(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a window, as in 8/30s")
    return int(found[1]), float(found[2])
