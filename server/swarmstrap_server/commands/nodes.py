# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands about nodes: node ls, node show, plan, deploy, disarm, watch."""

import argparse
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from textwrap import indent
from typing import TypeAlias, get_args

import msgspec
from rich.console import Console
from rich.table import Table

from swarmstrap.describe import describe
from swarmstrap.errors import BadInput, with_hint
from swarmstrap.manifest import Manifest
from swarmstrap.plan import choices, make_plan
from swarmstrap.selectors import verdict_lines
from swarmstrap.wire import Finish, Mode, Verify
from swarmstrap_server.commands.reaching import operator
from swarmstrap_server.commands.watch import watch, watch_json
from swarmstrap_server.control import views
from swarmstrap_server.control.client import Operator
from swarmstrap_server.control.jobs import make_job, new_deployment
from swarmstrap_server.control.nodes import Deployment
from swarmstrap_server.control.operator_wire import Arm, Disarm, NodeView
from swarmstrap_server.control.store import Store
from swarmstrap_server.images.library import Image, ImageStore
from swarmstrap_server.images.names import split
from swarmstrap_server.images.signing import Key
from swarmstrap_server.site.hooks import sign_hooks
from swarmstrap_server.site.reading import Site, read_site
from swarmstrap_server.site.yamlfile import nearest

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
_DURATION = re.compile(r"([1-9][0-9]*)(m|h|d)?")
_MINUTES = {"": 1, "m": 1, "h": 60, "d": 24 * 60}


def add_commands(commands: Commands) -> None:
    node = commands.add_parser("node", help="list and show nodes")
    actions = node.add_subparsers(metavar="ACTION", required=True)
    ls = actions.add_parser("ls", help="all nodes of the site, and machines that were discovered")
    ls.set_defaults(run=_ls, remote=True)
    show = actions.add_parser("show", help="one node: hardware, plan, last events")
    show.add_argument("node")
    show.set_defaults(run=_show, remote=True)

    plan = commands.add_parser("plan", help="print what a deployment would do to a node")
    plan.add_argument("node")
    plan.add_argument("--image", metavar="NAME[:VERSION]", help="default: the one last armed")
    plan.set_defaults(run=_plan)

    deploy = commands.add_parser("deploy", help="arm nodes for an image")
    deploy.add_argument("image", metavar="IMAGE[:VERSION]")
    deploy.add_argument("--to", nargs="+", required=True, metavar="NODE")
    deploy.add_argument("--watch", action="store_true", help="stay until all have ended")
    deploy.add_argument(
        "--for", dest="minutes", type=_minutes, metavar="TIME", help="how long, as in 30m or 2h"
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
    deploy.set_defaults(run=_deploy, remote=True)
    for command in (plan, deploy):
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

    disarm = commands.add_parser("disarm", help="take an arming back")
    disarm.add_argument("node", nargs="+")
    disarm.set_defaults(run=_disarm, remote=True)

    follow = commands.add_parser("watch", help="show deployments until all have ended")
    follow.add_argument("node", nargs="*", help="default: every node")
    follow.set_defaults(run=_watch, remote=True)
    for command in (ls, show, plan, deploy, follow):
        command.add_argument("--json", action="store_true", help="for machines")


def _ls(args: argparse.Namespace) -> int:
    nodes = operator(args).nodes() if args.server else views.node_views(*_open(args.site))
    if args.json:
        print(msgspec.json.encode(nodes).decode())
        return 0
    table = Table(box=None, pad_edge=False)
    for title in ("node", "state", "image", "macs", "seen", "remarks"):
        table.add_column(title)
    for node in nodes:
        deployment = node.deployment
        table.add_row(
            node.name,
            node.state,
            deployment.title if deployment else "",
            " ".join(node.macs),
            _ago(node.seen),
            _remark(node),
        )
    Console().print(table)
    return 0


def _remark(node: NodeView) -> str:
    deployment = node.deployment
    match node.state:
        case "failed" | "planned" if deployment:
            return deployment.reason
        case "armed" if deployment:
            return f"until {time.strftime('%H:%M:%S', time.localtime(deployment.until))}"
        case "deploying" if deployment:
            return deployment.phase
        case "discovered":
            return "not in the site's node files"
        case _:
            return "" if node.has_inventory else "never seen"


def _show(args: argparse.Namespace) -> int:
    if args.server:
        node = operator(args).node(args.node)
    else:
        site, store = _open(args.site)
        node = views.node_document(site, store, _known(site, store, args.node))
    if args.json:
        print(msgspec.json.encode(node).decode())
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
        clock = time.strftime("%H:%M:%S", time.localtime(record.received))
        result = f" [{record.event.result}]" if record.event.result else ""
        text = indent(with_hint(record.event.description, record.event.hint), " " * 11).lstrip()
        print(f"  {clock} {record.event.name}{result}: {text}")
    return 0


def _plan(args: argparse.Namespace) -> int:
    site, store = _open(args.site)
    name = _known(site, store, args.node)
    inventory = store.inventory(name)
    if inventory is None:
        raise BadInput(
            f"the hardware of {name} is not known yet", hint="boot it over the network once"
        )
    latest = store.latest_deployment(name)
    image = _image(site, args.image, latest)
    deployment = _planned(site, name, image.manifest, latest, store.installed(name), args)
    job = make_job(site, image.directory, deployment, session="")
    selections = choices(inventory, job)
    if not args.json:
        # Even when there is no plan for them, these are the disks.
        print("\n".join(verdict_lines(selections)))
    plan = make_plan(inventory, job, image.manifest)
    if args.json:
        told = {"digest": plan.digest, "disks": selections, "lines": plan.lines()}
        print(msgspec.json.encode(told).decode())
    else:
        print("\n".join(plan.lines()))
        print(f"digest {plan.digest}")
    return 0


def _planned(
    site: Site,
    node: str,
    image: Manifest,
    latest: Deployment | None,
    installed: Deployment | None,
    args: argparse.Namespace,
) -> Deployment:
    own = latest if latest is not None and latest.state in ("armed", "active") else None
    order = Arm(
        nodes=(node,),
        image=image.name,
        layout=args.layout,
        finish=args.finish,
        mode=args.mode or (own.mode if own else "deploy"),
        verify=args.verify,
    )
    deployment = new_deployment(site, image, order, node, time.time(), installed)
    # Identifiers on disk derive from the deployment's: this is then the node's own plan.
    return msgspec.structs.replace(deployment, id=own.id) if own else deployment


def _image(site: Site, wanted: str | None, latest: Deployment | None) -> Image:
    store = ImageStore(site.paths.images)
    if wanted:
        return store.get(*split(wanted))
    if latest is None:
        raise BadInput("no image was ever armed for this node", hint="say --image NAME")
    return store.get(latest.image, latest.version)


def _deploy(args: argparse.Namespace) -> int:
    if not args.server:
        _sign_hooks(read_site(args.site))
    name, version = split(args.image)
    server = operator(args)
    order = Arm(
        nodes=tuple(args.to),
        image=name,
        version=version or "",
        layout=args.layout,
        finish=args.finish,
        minutes=args.minutes,
        mode=args.mode or "deploy",
        preserve=tuple(args.preserve),
        allow_older=args.allow_older,
        verify=args.verify,
    )
    armed = server.arm(order)
    if args.json and not args.watch:
        print(msgspec.json.encode(armed).decode())
    for deployment in armed if not args.json else ():
        until = time.strftime("%H:%M:%S", time.localtime(deployment.until))
        print(f"{deployment.node} is armed for {deployment.title} until {until}")
    return _follow(server, order.nodes, as_json=args.json) if args.watch else 0


def _sign_hooks(site: Site) -> None:
    if site.paths.publisher.exists():
        for hook in sign_hooks(site, Key(site.paths.publisher)):
            print(f"signed hook {hook.name}", file=sys.stderr)


def _disarm(args: argparse.Namespace) -> int:
    operator(args).disarm(Disarm(nodes=tuple(args.node)))
    return 0


def _watch(args: argparse.Namespace) -> int:
    return _follow(operator(args), args.node, as_json=args.json)


def _follow(server: Operator, nodes: Sequence[str], *, as_json: bool) -> int:
    messages = server.stream()
    if as_json:
        board = watch_json(messages, nodes, lambda line: print(line, flush=True))
    else:
        board = watch(messages, nodes, Console())
    return 1 if board.failed else 0


def _open(root: Path) -> tuple[Site, Store]:
    site = read_site(root)
    return site, Store(site.paths.database)


def _known(site: Site, store: Store, name: str) -> str:
    names = views.node_names(site, store)
    if name not in names:
        raise BadInput(f"no node {name!r}{nearest(name, names)}", hint="see swarmstrap node ls")
    return name


def _minutes(text: str) -> int:
    found = _DURATION.fullmatch(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time, as in 30m, 2h or 1d")
    return int(found[1]) * _MINUTES[found[2] or ""]


def _ago(seen: float | None) -> str:
    if seen is None:
        return ""
    minutes = max(0, int(time.time() - seen)) // 60
    if minutes < 1:
        return "just now"
    return f"{minutes} min ago" if minutes < 120 else f"{minutes // 60} h ago"
