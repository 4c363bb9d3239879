# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands about nodes: node ls, node show, plan, disarm, watch."""

import argparse
import time
from pathlib import Path
from textwrap import indent

import msgspec

from swarmstrap.describe import describe
from swarmstrap.errors import BadInput, with_hint
from swarmstrap.manifest import Manifest
from swarmstrap.plan import choices, make_plan
from swarmstrap.selectors import verdict_lines
from swarmstrap_server.commands import Commands, naming, nodelog
from swarmstrap_server.commands.deploy import add_choices
from swarmstrap_server.commands.reaching import operator
from swarmstrap_server.commands.telling import add_json, print_json, print_table, tell
from swarmstrap_server.commands.watch import follow
from swarmstrap_server.control import views
from swarmstrap_server.control.jobs import make_job, new_deployment
from swarmstrap_server.control.naming import with_names
from swarmstrap_server.control.nodes import Deployment
from swarmstrap_server.control.operator_wire import Arm, Disarm, NodeView
from swarmstrap_server.control.store import Store
from swarmstrap_server.images.library import Image, ImageStore
from swarmstrap_server.images.names import split
from swarmstrap_server.site.reading import Site, read_site
from swarmstrap_server.site.yamlfile import nearest
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

    plan = commands.add_parser("plan", help="print what a deployment would do to a node")
    plan.add_argument("node")
    plan.add_argument("--image", metavar="NAME[:VERSION]", help="default: the one last armed")
    plan.set_defaults(run=_plan)
    add_choices(plan)

    disarm = commands.add_parser("disarm", help="take an arming back")
    disarm.add_argument("node", nargs="+", metavar="NODE|GROUP|all")
    disarm.set_defaults(run=_disarm, remote=True)

    watch = commands.add_parser("watch", help="show deployments until all have ended")
    watch.add_argument("node", nargs="*", help="default: every node")
    watch.set_defaults(run=_watch, remote=True)
    add_json(ls, show, plan, watch)


def _ls(args: argparse.Namespace) -> int:
    nodes = operator(args).nodes() if args.elsewhere else views.node_views(*_open(args.site))
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
        site, store = _open(args.site)
        node = views.node_document(site, store, _known(site, store, args.node))
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
    told = {"digest": plan.digest, "disks": selections, "lines": plan.lines()}
    tell(args, told, *plan.lines(), f"digest {plan.digest}")
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


def _disarm(args: argparse.Namespace) -> int:
    operator(args).disarm(Disarm(nodes=tuple(args.node)))
    return 0


def _watch(args: argparse.Namespace) -> int:
    return 1 if follow(operator(args), args.node, as_json=args.json).failed else 0


def _open(root: Path) -> tuple[Site, Store]:
    site = read_site(root)
    store = Store(site.paths.database)
    return with_names(site, store), store


def _known(site: Site, store: Store, name: str) -> str:
    names = views.node_names(site, store)
    if name not in names:
        raise BadInput(f"no node {name!r}{nearest(name, names)}", hint="see swarmstrap node ls")
    return name


def _ago(seen: float | None) -> str:
    if seen is None:
        return ""
    minutes = max(0, int(time.time() - seen)) // 60
    if minutes < 1:
        return "just now"
    return f"{minutes} min ago" if minutes < 120 else f"{minutes // 60} h ago"
