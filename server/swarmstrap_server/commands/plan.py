# SPDX-License-Identifier: GPL-2.0-or-later
"""`swarmstrap plan`: what a deployment would do to a node."""

import argparse
import contextlib
import time

from swarmstrap.errors import Unplannable
from swarmstrap.selectors import verdict_lines
from swarmstrap_server.commands import Commands
from swarmstrap_server.commands.deploy import add_choices
from swarmstrap_server.commands.reaching import operator, site_and_store
from swarmstrap_server.commands.telling import add_json, tell
from swarmstrap_server.control import views
from swarmstrap_server.control.operator_wire import NodePlan, PlanWish
from swarmstrap_server.control.planning import plan_node, subject_of
from swarmstrap_server.images.library import ImageStore


def add_commands(commands: Commands) -> None:
    plan = commands.add_parser("plan", help="print what a deployment would do to a node")
    plan.add_argument("node")
    plan.add_argument(
        "--image", default="", metavar="NAME[:VERSION]", help="default: the one last armed"
    )
    add_choices(plan)
    add_json(plan)
    plan.set_defaults(run=_plan, remote=True)


def _plan(args: argparse.Namespace) -> int:
    wish = PlanWish(
        image=args.image,
        layout=args.layout,
        mode=args.mode,
        finish=args.finish,
        verify=args.verify,
    )
    planned = operator(args).plan(args.node, wish) if args.elsewhere else _here(args, wish)
    lines = [*verdict_lines(planned.disks), *planned.lines]
    if planned.refused:
        if args.json or lines:
            tell(args, planned, *lines)
        raise Unplannable(planned.refused, hint=planned.hint)
    tell(args, planned, *lines, f"digest {planned.digest}")
    return 0


def _here(args: argparse.Namespace, wish: PlanWish) -> NodePlan:
    site, store = site_and_store(args)
    with contextlib.closing(store):
        subject = subject_of(store, views.known(site, store, args.node))
    return plan_node(site, ImageStore(site.paths.images), subject, wish, time.time())
