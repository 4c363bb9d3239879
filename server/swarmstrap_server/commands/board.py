# SPDX-License-Identifier: GPL-2.0-or-later
"""What `swarmstrap watch` shows: messages fold into a `Board`, a board renders to a rich table."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from swarmstrap.errors import with_hint
from swarmstrap.units import human
from swarmstrap.wire import Event
from swarmstrap_server.control.limits import runs
from swarmstrap_server.control.nodes import PHASES, Deployment, State
from swarmstrap_server.control.operator_wire import NodeView, Record, Snapshot

_STYLES: dict[State, str] = {
    "discovered": "dim",
    "ready": "",
    "armed": "yellow",
    "deploying": "cyan",
    "deployed": "bold green",
    "planned": "green",
    "failed": "bold red",
}
_RATE_SECONDS = 3.0
_BAR_CELLS = 16


@dataclass(slots=True)
class _Row:
    view: NodeView
    event: Event | None = None
    # (time, bytes) of the transfer, oldest first: what a rate is made of.
    samples: tuple[tuple[float, int], ...] = ()

    def rate(self) -> float:
        """Bytes a second over the last seconds; 0 when nothing is known or the fetch is over."""
        deployment = self.view.deployment
        if len(self.samples) < 2 or deployment is None or deployment.phase != "image":
            return 0.0
        (t0, b0), (t1, b1) = self.samples[0], self.samples[-1]
        return max(0.0, (b1 - b0) / (t1 - t0)) if t1 > t0 else 0.0


@dataclass(slots=True)
class Board:
    """The nodes watched: those named in `only`, or all. `begun` are those seen at work, and of
    those named, whoever was deployed before.
    """

    only: frozenset[str] = frozenset()
    rows: dict[str, _Row] = field(default_factory=dict)
    begun: set[str] = field(default_factory=set)

    def take(self, message: Snapshot | Record) -> None:
        match message:
            case Snapshot():
                for view in message.nodes:
                    self._put(view, None, 0.0)
            case Record(view=NodeView() as view):
                self._put(view, message.event, message.received)
            case Record():
                if row := self.rows.get(message.node):
                    self._put(row.view, message.event, message.received)

    @property
    def done(self) -> bool:
        """Every node that was seen armed or deploying has come to an end."""
        return bool(self.begun) and all(
            self.rows[name].view.state not in ("armed", "deploying") for name in self.begun
        )

    @property
    def failed(self) -> list[str]:
        """Nodes that were at work and are neither deployed nor, in a dry run, planned now."""
        good = ("deployed", "planned")
        return [name for name in sorted(self.begun) if self.rows[name].view.state not in good]

    def _put(self, view: NodeView, event: Event | None, received: float) -> None:
        if self.only and view.name not in self.only:
            return
        old = self.rows.get(view.name)
        samples = old.samples if old else ()
        if view.deployment is not None and event is not None and event.from_peers is not None:
            now = view.deployment.from_seeder + view.deployment.from_peers
            recent = [s for s in samples if received - s[0] <= _RATE_SECONDS]
            samples = (*recent, (received, now))
        told = event if event is not None and _worth_a_line(event) else None
        kept = told or (old.event if old else None)
        # A new dict: the screen is drawn from another thread.
        self.rows = {**self.rows, view.name: _Row(view, kept, samples)}
        if view.state in ("armed", "deploying") or (self.only and view.deployment):
            self.begun.add(view.name)


def live(board: Board) -> RenderableType:
    """Nodes at work and what they do; below it every failure, with what to do about it."""
    rows = board.rows
    table = Table(expand=True, pad_edge=False, box=None, header_style="bold")
    for title in ("node", "state", "progress", "rate", "limit", "seeder", "peers", "last event"):
        right = title in ("rate", "limit", "seeder", "peers")
        table.add_column(title, justify="right" if right else "left", no_wrap=True)
    table.columns[-1].ratio = 1
    for name in sorted(rows):
        row = rows[name]
        table.add_row(name, *_cells(row))
    at_work = [rows[name].view for name in sorted(board.begun)]
    return Group(table, *_runs(at_work), *_failures(rows.values()))


def result(board: Board) -> RenderableType:
    """One line a node that was at work: result, seconds in all and by phase, bytes by source, and
    how near its fetch was to what the hardware allows; below, the same of all nodes together.
    """
    done = [board.rows[name].view for name in sorted(board.begun)]
    phases = [p for p in PHASES if any(v.deployment and p in v.deployment.phases for v in done)]
    table = Table(pad_edge=False, box=None, header_style="bold")
    for title in ("node", "image", "result"):
        table.add_column(title, no_wrap=True)
    for title in ("seconds", *phases, "seeder", "peers", "limit"):
        table.add_column(title, justify="right", no_wrap=True)
    for view in done:
        if (deployment := view.deployment) is None:
            table.add_row(view.name, "", _state(view))
            continue
        table.add_row(
            view.name,
            deployment.title,
            _state(view),
            _seconds(deployment),
            *(f"{deployment.phases.get(phase, 0.0):.1f}" for phase in phases),
            human(deployment.from_seeder),
            human(deployment.from_peers),
            _limit(view),
        )
    return Group(table, *_runs(done), *_failures([board.rows[view.name] for view in done]))


def line(record: Record) -> str | None:
    """For output that is no terminal: one line an event, and under it a table of reasons."""
    event = record.event
    if not _worth_a_line(event):
        return None
    text = with_hint(event.description, event.hint)
    mark = {"fail": "FAILED ", "warning": "warning: "}.get(event.result, "")
    if event.kind == "finish" and not mark:
        mark = "done: " if text else "done"
    return f"{record.node}  {event.name}  {mark}{text}"


def _worth_a_line(event: Event) -> bool:
    """Not progress, and not the excerpt of its log that a failed node leaves with the server."""
    return event.kind != "progress" and event.name != "log"


def _cells(row: _Row) -> Iterator[RenderableType]:
    deployment = row.view.deployment
    yield _state(row.view)
    yield _progress(deployment)
    rate = row.rate()
    yield f"{human(int(rate))}/s" if rate else ""
    yield _limit(row.view) if deployment and deployment.phase == "image" else ""
    yield human(deployment.from_seeder) if deployment and deployment.from_seeder else ""
    yield human(deployment.from_peers) if deployment and deployment.from_peers else ""
    yield _told(row.event)


def _state(view: NodeView) -> Text:
    deployment = view.deployment
    shown = f"{deployment.phase}" if deployment and view.state == "deploying" else view.state
    return Text(shown, style=_STYLES[view.state])


def _progress(deployment: Deployment | None) -> RenderableType:
    if deployment is None or deployment.state != "active" or deployment.progress is None:
        return ""
    return ProgressBar(total=1.0, completed=deployment.progress, width=_BAR_CELLS)


def _limit(view: NodeView) -> str:
    return str(view.limit) if view.limit else ""


def _runs(views: Iterable[NodeView]) -> Iterator[Text]:
    """A line for each image that several nodes got together."""
    for run in runs(view.deployment for view in views if view.deployment):
        if len(run.nodes) > 1:
            yield Text(f"\n{run}")


def _told(event: Event | None) -> Text:
    if event is None:
        return Text("")
    style = {"fail": "red", "warning": "yellow"}.get(event.result, "")
    first, *_ = (event.description or event.name).splitlines()
    return Text(first, style=style, overflow="ellipsis")


def _failures(rows: Iterable[_Row]) -> Iterator[Text]:
    for row in rows:
        reason, hint = _failure(row)
        if reason:
            yield Text(f"\n{row.view.name} failed: {reason}", style="red")
            if hint:
                yield Text(f"  what to do: {hint}")


def _failure(row: _Row) -> tuple[str, str]:
    """Reason and hint, empty when there is no failure; an arming can also end without a job."""
    deployment, event = row.view.deployment, row.event
    if deployment is not None and deployment.state == "failed":
        return deployment.reason, deployment.hint
    if deployment is None and event is not None and event.result == "fail":
        return event.description, event.hint
    return "", ""


def _seconds(deployment: Deployment) -> str:
    if deployment.started is None or deployment.ended is None:
        return ""
    return f"{deployment.ended - deployment.started:.1f}"
