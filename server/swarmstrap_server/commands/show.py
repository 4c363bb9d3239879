# SPDX-License-Identifier: GPL-2.0-or-later
"""`swarmstrap show NODE`: what the site's files say of a node, put together, with their lines."""

import argparse
import contextlib
from typing import TypeAlias

import msgspec
from rich.console import Console
from rich.table import Table

from swarmstrap.errors import BadInput
from swarmstrap_server.control.naming import with_names
from swarmstrap_server.control.store import Store
from swarmstrap_server.site.holding import held
from swarmstrap_server.site.reading import read_site
from swarmstrap_server.site.yamlfile import Value, nearest

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_commands(commands: Commands) -> None:
    show = commands.add_parser("show", help="what the site says of a node, and where it says so")
    show.add_argument("node")
    show.add_argument("--json", action="store_true", help="for machines")
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
        print(msgspec.json.encode(told).decode())
        return 0
    print(f"{name}, in {', '.join(groups)}")
    table = Table(box=None, pad_edge=False)
    for title in ("word", "value", "said by", "where"):
        table.add_column(title, overflow="fold")
    for word in words:
        table.add_row(word.key, spoken(word.value), word.owner, word.place)
    Console().print(table)
    return 0


def spoken(value: Value) -> str:
    """Text as it is, all else as JSON, which is YAML too."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
