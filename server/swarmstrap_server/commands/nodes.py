# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands about nodes: node ls, node show, disarm, watch."""

import argparse
import time
from textwrap import indent

from swarmstrap.describe import describe
from swarmstrap.errors import with_hint
from swarmstrap_server.commands import Commands, naming, nodelog
from swarmstrap_server.commands.reaching import operator, site_and_store
from swarmstrap_server.commands.telling import add_json, print_json, print_table
from swarmstrap_server.commands.watch import follow
from swarmstrap_server.control import views
from swarmstrap_server.control.operator_wire import Disarm, NodeView
from swarmstrap_server.times import time_of_day


def add_commands(commands: Commands) -> None:
    node = commands.add_parser("node", help="list and show nodes")
    actions = node.add_subparsers(metavar="ACTION", required=True)
    ls = actions.add_parser("ls", help="all nodes of the site, and machines that were discovered")
    ls.add_argument("--group", default="", metavar="GROUP", help="its members only")
    ls.set_defaults(run=_ls, remote=True)
    show = actions.add_parser("show", help="one node: hardware, plan, last events")
    show.add_argument("node")
    show.set_defaults(run=_show, remote=True)
    nodelog.add_action(actions)
    naming.add_actions(actions)

    disarm = commands.add_parser("disarm", help="take an arming back")
    disarm.add_argument("node", nargs="+", metavar="NODE|GROUP|all")
    disarm.set_defaults(run=_disarm, remote=True)

    watch = commands.add_parser("watch", help="show deployments until all have ended")
    watch.add_argument("node", nargs="*", help="default: every node")
    watch.set_defaults(run=_watch, remote=True)
    add_json(ls, show, watch)


def _ls(args: argparse.Namespace) -> int:
    nodes = operator(args).nodes() if args.elsewhere else views.node_views(*site_and_store(args))
    nodes = tuple(node for node in nodes if args.group in ("", *node.groups))
    if args.json:
        print_json(nodes)
        return 0
    print_table(("node", "state", "image", "macs", "seen", "remarks"), map(_row, nodes))
    return 0


def _row(node: NodeView) -> tuple[str, ...]:
    title = node.deployment.title if node.deployment else ""
    return node.name, node.state, title, " ".join(node.macs), _ago(node.seen), _remark(node)


def _remark(node: NodeView) -> str:
    deployment = node.deployment
    match node.state:
        case "failed" | "planned" if deployment:
            return deployment.reason
        case "armed" if deployment:
            return f"until {time_of_day(deployment.until)}"
        case "deploying" if deployment:
            return deployment.phase
        case "discovered":
            return "not in the site's node files"
        case _:
            return "" if node.has_inventory else "never seen"


def _show(args: argparse.Namespace) -> int:
    if args.elsewhere:
        node = operator(args).node(args.node)
    else:
        site, store = site_and_store(args)
        node = views.node_document(site, store, views.known(site, store, args.node))
    if args.json:
        print_json(node)
        return 0
    view = node.node
    print(f"{view.name}: {view.state}{', ' + _remark(view) if _remark(view) else ''}")
    if view.limit:
        print(f"  its last fetch: {view.limit.sentence()}")
    if node.inventory:
        print("\n".join(f"  {line}" for line in describe(node.inventory)))
    if node.plan:
        print(f"\nplan {node.plan.digest[:16]}")
        print("\n".join(f"  {line}" for line in node.plan.lines))
    if node.events:
        print("\nlast events")
    for record in node.events:
        clock = time_of_day(record.received)
        result = f" [{record.event.result}]" if record.event.result else ""
        text = indent(with_hint(record.event.description, record.event.hint), " " * 11).lstrip()
        print(f"  {clock} {record.event.name}{result}: {text}")
    return 0


def _disarm(args: argparse.Namespace) -> int:
    operator(args).disarm(Disarm(nodes=tuple(args.node)))
    return 0


def _watch(args: argparse.Namespace) -> int:
    return 1 if follow(operator(args), args.node, as_json=args.json).failed else 0


def _ago(seen: float | None) -> str:
    if seen is None:
        return ""
    minutes = max(0, int(time.time() - seen)) // 60
    if minutes < 1:
        return "just now"
    return f"{minutes} min ago" if minutes < 120 else f"{minutes // 60} h ago"
