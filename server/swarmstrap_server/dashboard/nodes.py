# SPDX-License-Identifier: GPL-2.0-or-later
"""A node's page: what it is, what it does, what it said, what it did before. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from swarmstrap.hardware import Disk, Inventory
from swarmstrap.limits import Limit
from swarmstrap.tables import name_type
from swarmstrap.units import human
from swarmstrap.wire import Event, PlanReport
from swarmstrap_server.control.nodes import PHASES, Deployment
from swarmstrap_server.control.operator_wire import NodeView, Record
from swarmstrap_server.dashboard.cells import Cell, Kind, cell_of, kind_of_phase
from swarmstrap_server.dashboard.charts import took

Mark = Literal["runs", "done", "warning", "failed", "said"]


@dataclass(frozen=True, slots=True)
class Stage:
    """A phase of the deployment shown; `seconds` is None for one that has not ended."""

    name: str
    kind: Kind
    status: Literal["done", "now", "failed", "ahead"]
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Told:
    """What the node or the server said; `mark` is what became of what it speaks of, which took so
    many `seconds` by the node's clock.
    """

    time: float
    mark: Mark
    name: str
    text: str
    hint: str
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class DiskRow:
    """`holds` has a line for each partition, or for what lies on the bare disk."""

    name: str
    size: int
    kind: str
    model: str
    serial: str
    used_by: str
    holds: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DemandBar:
    """What one resource was asked for; `width` is 0..100 of the time that the fetch took."""

    resource: str
    seconds: float | None
    estimated: bool
    binding: bool
    width: float


@dataclass(frozen=True, slots=True)
class NodePage:
    """`events` have the latest on top, and so has `history`."""

    view: NodeView
    cell: Cell
    seconds: float
    rate: float | None
    stages: tuple[Stage, ...]
    demands: tuple[DemandBar, ...]
    events: tuple[Told, ...]
    plan: PlanReport | None
    history: tuple[Deployment, ...]
    inventory: Inventory | None
    disks: tuple[DiskRow, ...]


def node_page(
    view: NodeView,
    groups: tuple[str, ...],
    inventory: Inventory | None,
    plan: PlanReport | None,
    records: Sequence[Record],
    history: Sequence[Deployment],
    rate: float | None,
    now: float,
) -> NodePage:
    latest = view.deployment
    return NodePage(
        view=view,
        cell=cell_of(view, groups, now),
        seconds=took(latest, now) if latest else 0.0,
        rate=rate,
        stages=stages(latest) if latest else (),
        demands=demands(view.limit) if view.limit else (),
        events=tuple(reversed(told(records))),
        plan=plan,
        history=tuple(reversed(history)),
        inventory=inventory,
        disks=tuple(map(disk_row, inventory.disks)) if inventory else (),
    )


def stages(deployment: Deployment) -> tuple[Stage, ...]:
    """Every phase, in order. One that was passed without a word has ended, too."""
    reached = PHASES.index(deployment.phase) if deployment.phase in PHASES else -1
    found = []
    for place, name in enumerate(PHASES):
        status: Literal["done", "now", "failed", "ahead"] = "ahead"
        if deployment.state == "deployed" or place < reached:
            status = "done"
        elif place == reached:
            status = "failed" if deployment.state == "failed" else "now"
        found.append(Stage(name, kind_of_phase(name), status, deployment.phases.get(name)))
    return tuple(found)


def demands(limit: Limit) -> tuple[DemandBar, ...]:
    """The largest first."""
    bars = [
        DemandBar(
            resource=demand.resource,
            seconds=demand.seconds,
            estimated=demand.estimated,
            binding=demand.resource == limit.resource,
            width=round(min(100.0, 100 * (demand.seconds or 0.0) / limit.seconds), 2),
        )
        for demand in limit.demands
    ]
    return tuple(sorted(bars, key=lambda bar: -(bar.seconds or 0.0)))


def told(records: Iterable[Record]) -> list[Told]:
    """A line each; what ends marks the line that began it, and has one of its own if it failed."""
    lines: list[Told] = []
    open_lines: dict[str, tuple[int, float]] = {}
    for record in records:
        event = record.event
        began = open_lines.pop(event.name, None)
        mark = _mark(event)
        if began is not None and event.kind == "finish":
            place, since = began
            lines[place] = replace(lines[place], mark=mark, seconds=max(0.0, event.time - since))
            if mark == "done":
                continue
        if mark == "runs":
            open_lines[event.name] = len(lines), event.time
        lines.append(Told(record.received, mark, event.name, event.description, event.hint))
    return lines


def _mark(event: Event) -> Mark:
    match event.result, event.kind:
        case "fail", _:
            return "failed"
        case "warning", _:
            return "warning"
        case _, "start":
            return "runs"
        case _, "finish":
            return "done"
        case _:
            return "said"


def disk_row(disk: Disk) -> DiskRow:
    words = [disk.tran, "rotational" if disk.rotational else "flash"]
    marks = {"removable": disk.removable, "read-only": disk.read_only, "path": disk.multipath}
    words += [word for word, holds in marks.items() if holds]
    if disk.boot_medium:
        words.append("installer")
    held = [
        f"{part.number} {part.name or name_type(part.type)}: {human(part.size)} "
        f"{part.filesystem} {part.label}".strip()
        for part in disk.partitions
    ]
    return DiskRow(
        name=disk.name,
        size=disk.size,
        kind=", ".join(filter(None, words)),
        model=f"{disk.vendor} {disk.model}".strip(),
        serial=disk.serial or disk.wwn,
        used_by=", ".join(disk.holders),
        holds=tuple(held or disk.signatures),
    )
