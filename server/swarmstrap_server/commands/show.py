# SPDX-License-Identifier: GPL-2.0-or-later
"""`swarmstrap show NODE`: what the site's files say of a node, put together, with their lines."""

import argparse
import contextlib

import msgspec
from rich.table import Column

from swarmstrap.errors import BadInput
from swarmstrap_server.commands import Commands
from swarmstrap_server.commands.telling import add_json, print_json, print_table
from swarmstrap_server.control.naming import with_names
from swarmstrap_server.control.store import Store
from swarmstrap_server.site.holding import held
from swarmstrap_server.site.reading import read_site
from swarmstrap_server.site.yamlfile import Value, nearest


def add_commands(commands: Commands) -> None:
    show = commands.add_parser("show", help="what the site says of a node, and where it says so")
    show.add_argument("node")
    add_json(show)
    show.set_defaults(run=_show)


def _show(args: argparse.Namespace) -> int:
    site, name = read_site(args.site), args.node
    if site.paths.database.exists():
        with contextlib.closing(Store(site.paths.database)) as store:
            site = with_names(site, store)
    if name not in site.nodes:
        near = nearest(name, list(site.nodes))
        raise BadInput(f"no node {name!r}{near}", hint="see swarmstrap node ls")
    words = tuple(held(site, name).values())
    groups = site.nodes[name].groups
    if args.json:
        told = {"node": name, "groups": groups, "words": words}
        print_json(told)
        return 0
    print(f"{name}, in {', '.join(groups)}")
    titles = [Column(title, overflow="fold") for title in ("word", "value", "said by", "where")]
    print_table(titles, ((w.key, spoken(w.value), w.owner, w.place) for w in words))
    return 0


def spoken(value: Value) -> str:
    """Text as it is, all else as JSON, which is YAML too."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
