# SPDX-License-Identifier: GPL-2.0-or-later
"""What a rehearsal says at its end: a table for people, `report.json` for programs."""

from pathlib import Path
from typing import Literal

import msgspec
from rich import box
from rich.table import Table

from swarmstrap.hardware import Firmware
from swarmstrap.limits import Limit
from swarmstrap.units import human
from swarmstrap_server.control.limits import Run

Result = Literal["deployed", "failed"]

# In the order of a deployment; a report names those that a node went through.
PHASES = (
    "firmware",
    "look",
    "ask",
    "decide",
    "disks",
    "image",
    "configure",
    "hooks",
    "bootloader",
    "settle",
    "seed",
    "finish",
    "update",
    "again",
    "boot",
    "degraded",
)


class NodeReport(msgspec.Struct, frozen=True, kw_only=True):
    """One node. Bytes are payload; `phases` are seconds; `reason` is empty for a deployed node.
    `update_bytes` are those of the update, if there was one. `limit` says how near the fetch came
    to what the hardware allows. `console` are the last lines of a node that failed.
    `power_cycles` is how often it hung before its installer's first word, and was switched off and
    on.

    `booted_from_disk`: the installed system itself reported the run's nonce from the disk that
    the layout chose, every time; `boots` is how often. `decoy_intact`: not one byte of the disks
    attached first has changed.
    """

    name: str
    firmware: Firmware
    disk: str
    nic: str
    result: Result
    booted_from_disk: bool
    boots: int
    decoy_intact: bool
    from_seeder_bytes: int
    from_peers_bytes: int
    update_bytes: int
    phases: dict[str, float]
    limit: Limit | None = None
    power_cycles: int = 0
    reason: str = ""
    console: tuple[str, ...] = ()


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """`seconds` is the whole rehearsal, from making the network to the last node's answer; `runs`
    are the fetches of nodes that were installed at the same time.
    """

    image: str
    payload_bytes: int
    seconds: float
    nodes: tuple[NodeReport, ...]
    runs: tuple[Run, ...] = ()

    def passed(self) -> bool:
        return bool(self.nodes) and all(
            node.result == "deployed" and node.booted_from_disk and node.decoy_intact
            for node in self.nodes
        )


def write(report: Report, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")


def table(report: Report) -> Table:
    """A column a node: firmware, disk, seconds per phase, bytes by source, limit, result."""
    title = f"{report.image}: {human(report.payload_bytes)}, {report.seconds:.0f} s in all"
    runs = "\n".join(map(str, report.runs))
    shown = Table(title=title, caption=runs, box=box.SIMPLE_HEAD, pad_edge=False)
    shown.add_column("node", no_wrap=True)
    for node in report.nodes:
        good = node.result == "deployed"
        shown.add_column(node.name, justify="right", style="" if good else "bold red")
    shown.add_row("firmware", *(node.firmware for node in report.nodes))
    shown.add_row("disk", *(node.disk for node in report.nodes), end_section=True)
    for phase in PHASES:
        if any(phase in node.phases for node in report.nodes):
            shown.add_row(f"{phase}, s", *(_seconds(node, phase) for node in report.nodes))
    shown.add_section()
    shown.add_row("from seeder", *(human(node.from_seeder_bytes) for node in report.nodes))
    shown.add_row("from peers", *(human(node.from_peers_bytes) for node in report.nodes))
    shown.add_row("limit", *(str(node.limit or "-") for node in report.nodes))
    shown.add_row("own disk", *(_yes(node.booted_from_disk) for node in report.nodes))
    shown.add_row("decoy intact", *(_yes(node.decoy_intact) for node in report.nodes))
    shown.add_row("result", *(_result(node) for node in report.nodes))
    return shown


def last_words(report: Report) -> str:
    """What stood on the consoles of nodes that failed; empty when none did."""
    quoted = (
        f"the last lines of {node.name}:\n" + "".join(f"  {line}\n" for line in node.console)
        for node in report.nodes
        if node.console
    )
    return "\n".join(quoted)


def _seconds(node: NodeReport, phase: str) -> str:
    return f"{node.phases[phase]:.1f}" if phase in node.phases else "-"


def _yes(holds: bool) -> str:
    return "yes" if holds else "NO"


def _result(node: NodeReport) -> str:
    return f"{node.result}: {node.reason}" if node.reason else node.result
