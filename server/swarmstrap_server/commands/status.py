# SPDX-License-Identifier: GPL-2.0-or-later
"""`swarmstrap status`: what the server is doing, and how near its runs are to their limit."""

import argparse
import time
from typing import TypeAlias

import msgspec
from rich.console import Console
from rich.table import Table

from swarmstrap.units import human
from swarmstrap_server.control.client import Operator
from swarmstrap_server.control.limits import Run
from swarmstrap_server.control.operator_wire import Status
from swarmstrap_server.site.paths import SitePaths

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_commands(commands: Commands) -> None:
    status = commands.add_parser("status", help="what the server does, and how fast its runs were")
    status.add_argument("--json", action="store_true", help="for machines")
    status.set_defaults(run=_status)


def _status(args: argparse.Namespace) -> int:
    status = Operator(SitePaths(args.site).socket).status()
    if args.json:
        print(msgspec.json.encode(status).decode())
        return 0
    print("\n".join(lines(status)))
    if status.runs:
        Console().print(table(status.runs))
    return 0


def lines(status: Status) -> list[str]:
    seeder = "runs" if status.seeder_running else "DOES NOT RUN"
    return [
        f"site {status.site}: boot {status.boot_url}, nodes {status.node_url}",
        f"seeder {seeder}, {human(status.seeder_rate)}/s now, {human(status.seeder_uploaded)} sent",
        f"tracker: {status.peers} peers, {status.announces} announces",
    ]


def table(runs: tuple[Run, ...]) -> Table:
    """A line a run, the last one below: its copies are what the seeder sent of the image."""
    shown = Table(box=None, pad_edge=False)
    for title in ("run", "image", "nodes", "seconds", "copies", "x of its limit", ""):
        left = title in ("run", "image", "")
        shown.add_column(title, justify="left" if left else "right", no_wrap=True)
    for run in runs:
        known = run.limit.demands if run.limit else ()
        shown.add_row(
            time.strftime("%m-%d %H:%M:%S", time.localtime(run.began)),
            run.image,
            str(len(run.nodes)),
            f"{run.seconds:.1f}{' so far' if run.running else ''}",
            f"{run.from_seeder / run.payload:.2f}",
            str(run.limit or ""),
            ", ".join(str(demand) for demand in known),
        )
    return shown
