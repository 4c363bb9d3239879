# SPDX-License-Identifier: GPL-2.0-or-later
"""`make hardware-matrix`: the demonstration's image on machines and layouts of every kind."""

import argparse
import asyncio
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from swarmstrap.errors import SwarmstrapError
from swarmstrap.units import human
from swarmstrap_server.commands.exits import Exit
from swarmstrap_server.lab import demo, report
from swarmstrap_server.lab.lab_site import LabSite
from swarmstrap_server.lab.live import Screen
from swarmstrap_server.lab.rehearsal import Rehearsal, rehearse
from swarmstrap_server.lab.report import NodeReport, Report
from swarmstrap_server.lab.rows import SUBSET, Row, rows
from swarmstrap_server.site.reading import read_site
from swarmstrap_server.stopping import end_in_order

# Guests at once: the more, the slower each, and the deadlines of all.
_AT_ONCE = 2
# Of a table that goes to a file.
_COLUMNS = 120
_STARTS = ("boot", "degraded")
_INSTALLED_BEFORE = ("again", *_STARTS)


def main(argv: Sequence[str] | None = None) -> int:
    """0 when every row was deployed and started from its own disks as often as it had to."""
    parser = argparse.ArgumentParser(prog="hardware-matrix", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for disks, logs, report")
    parser.add_argument("--demo", type=Path, required=True, help="the demo's folder: site, image")
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--only", default="", metavar="ROW,ROW", help="these rows")
    chosen.add_argument("--subset", action="store_true", help=f"only {', '.join(SUBSET)}")
    arguments = parser.parse_args(argv)
    names = SUBSET if arguments.subset else tuple(filter(None, arguments.only.split(",")))
    end_in_order()
    try:
        return _run(rows(names), arguments.out, arguments.demo)
    except SwarmstrapError as error:
        print(f"hardware-matrix: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return Exit.INTERRUPTED


def _run(chosen: Sequence[Row], out: Path, prepared: Path) -> int:
    demo.prepare(prepared)
    images = {name: demo.capture_image(prepared, name) for name in {row.image for row in chosen}}
    site = read_site(prepared / "site")
    lab = LabSite(layout="default", finish="reboot", seeder_rate="", nonce=secrets.token_hex(16))
    rehearsal = Rehearsal(
        real=site,
        image=images[chosen[0].image],
        nodes=tuple(row.node for row in chosen),
        lab=lab,
        work=out / "rehearsal",
        trials={row.name: row.trial for row in chosen},
        images={row.name: images[row.image] for row in chosen},
        at_once=_AT_ONCE,
    )
    console = Console()
    if not console.is_terminal:
        console.width = _COLUMNS
    with Screen(console) as screen:
        result = asyncio.run(rehearse(rehearsal, screen.show))
    report.write(result, out / "report.json")
    console.print(table(chosen, result))
    for node in result.nodes:
        if node.reason:
            console.print(f"{node.name}: {node.reason}", style="bold red", highlight=False)
    console.print(f"disks and logs: {rehearsal.work}", highlight=False)
    return 0 if result.passed() else 1


def table(chosen: Sequence[Row], result: Report) -> Table:
    """A line a row: what it shows, seconds to install and for each start, how it ended."""
    title = f"{result.image}: {human(result.payload_bytes)}, {result.seconds:.0f} s in all"
    shown = Table(title=title, box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("row", "shows", "NIC"):
        shown.add_column(heading, no_wrap=heading != "shows")
    for heading in ("install, s", "start, s", "degraded, s", "starts"):
        shown.add_column(heading, justify="right")
    shown.add_column("result")
    for row, node in zip(chosen, result.nodes, strict=True):
        shown.add_row(
            row.name,
            row.shows,
            node.nic,
            f"{_installing(node):.0f}",
            *(f"{node.phases[name]:.0f}" if name in node.phases else "-" for name in _STARTS),
            str(node.boots),
            node.result,
            style="" if node.result == "deployed" else "bold red",
        )
    return shown


def _installing(node: NodeReport) -> float:
    """The first time."""
    return sum(seconds for name, seconds in node.phases.items() if name not in _INSTALLED_BEFORE)


if __name__ == "__main__":
    sys.exit(main())
