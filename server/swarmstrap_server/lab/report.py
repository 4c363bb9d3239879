# SPDX-License-Identifier: GPL-2.0-or-later
"""What a rehearsal says at its end: a table for people, `report.json` for programs."""

from pathlib import Path
from typing import Literal

import msgspec
from rich.table import Table

from swarmstrap.hardware import Firmware
from swarmstrap.units import human

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
    "boot",
)


class NodeReport(msgspec.Struct, frozen=True, kw_only=True):
    """One node. Bytes are payload; `phases` are seconds; `reason` is empty for a deployed node.

    `booted_from_disk`: the installed system itself reported the run's nonce from the disk that
    the layout chose. `decoy_intact`: not one byte of the disk attached first has changed.
    """

    name: str
    firmware: Firmware
    disk: str
    result: Result
    booted_from_disk: bool
    decoy_intact: bool
    from_seeder_bytes: int
    from_peers_bytes: int
    phases: dict[str, float]
    reason: str = ""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """`seconds` is the whole rehearsal, from making the network to the last node's answer."""

    image: str
    payload_bytes: int
    seconds: float
    nodes: tuple[NodeReport, ...]

    def passed(self) -> bool:
        return bool(self.nodes) and all(
            node.result == "deployed" and node.booted_from_disk and node.decoy_intact
            for node in self.nodes
        )


def write(report: Report, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")


def table(report: Report) -> Table:
    """Node, firmware, disk, seconds per phase, bytes by source, result: fits 100 columns."""
    seen = [phase for phase in PHASES if any(phase in node.phases for node in report.nodes)]
    result = Table(title=f"{report.image}: {human(report.payload_bytes)}, {report.seconds:.0f} s")
    for heading in ("node", "firmware", "disk"):
        result.add_column(heading, no_wrap=True)
    for phase in seen:
        result.add_column(phase, justify="right", no_wrap=True)
    for heading in ("seeder", "peers"):
        result.add_column(heading, justify="right", no_wrap=True)
    result.add_column("result")
    for node in report.nodes:
        result.add_row(
            node.name,
            node.firmware,
            node.disk,
            *(f"{node.phases[phase]:.0f}" if phase in node.phases else "-" for phase in seen),
            human(node.from_seeder_bytes),
            human(node.from_peers_bytes),
            node.result if not node.reason else f"{node.result}: {node.reason}",
            style="" if node.result == "deployed" else "bold red",
        )
    return result
