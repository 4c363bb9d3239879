# SPDX-License-Identifier: GPL-2.0-or-later
"""`swarmstrap status`: what the server is doing, and how near its runs came to their limit."""

import argparse
from collections.abc import Iterator

from swarmstrap.units import human
from swarmstrap_server.commands import Commands
from swarmstrap_server.commands.reaching import operator
from swarmstrap_server.commands.telling import add_json, tell
from swarmstrap_server.control.limits import Run
from swarmstrap_server.control.operator_wire import Status
from swarmstrap_server.times import clock_time


def add_commands(commands: Commands) -> None:
    status = commands.add_parser("status", help="what the server does, and how fast its runs were")
    add_json(status)
    status.set_defaults(run=_status, remote=True)


def _status(args: argparse.Namespace) -> int:
    status = operator(args).status()
    tell(args, status, *_lines(status))
    return 0


def _lines(status: Status) -> Iterator[str]:
    seeder = "runs" if status.seeder_running else "DOES NOT RUN"
    yield f"site {status.site}: boot {status.boot_url}, nodes {status.node_url}"
    rate, sent = human(status.seeder_rate), human(status.seeder_uploaded)
    yield f"seeder {seeder}, {rate}/s now, {sent} sent"
    yield f"tracker: {status.peers} peers, {status.announces} announces"
    for run in status.runs:
        yield ""
        yield from _run(run)


def _run(run: Run) -> Iterator[str]:
    """Its copies are what the seeder sent of the image."""
    began = clock_time(run.began)
    doing = "runs" if run.running else "done"
    copies = run.from_seeder / run.payload
    yield f"{began}  {run.title}, {doing}: {human(run.payload)}, sent {copies:.2f} times"
    if run.limit:
        yield f"  {run.limit.sentence()}"
