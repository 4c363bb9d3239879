# SPDX-License-Identifier: GPL-2.0-or-later
"""The pictures of docs/scaling.md."""

from collections.abc import Callable, Iterable
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from tests.bench.simulation.rows import Row
from tests.bench.simulation.studies import Study

_SIZE = (7.5, 4.5)


def draw(rows: Iterable[Row], folder: Path) -> None:
    """Of each study of which there are rows, a picture into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = list(rows)
    ratio, label = (lambda row: row.ratio), "last node's time / bound"
    _picture(rows, "nodes", ratio, "nodes", label, folder)
    _picture(rows, "width", ratio, "nodes that are dealt to at a time", label, folder)
    _picture(rows, "degree", ratio, "neighbours of a node", label, folder)
    _picture(rows, "links", lambda row: row.seconds_last, "nodes", "last node, seconds", folder)
    _picture(
        rows,
        "racks",
        lambda row: row.rack_copies,
        "oversubscription of a rack's uplink",
        "copies into each rack",
        folder,
    )


def _picture(
    rows: list[Row],
    study: Study,
    height: Callable[[Row], float],
    across: str,
    up: str,
    folder: Path,
) -> None:
    rows = sorted((row for row in rows if row.study == study), key=lambda row: row.x)
    if not rows:
        return
    figure = Figure(figsize=_SIZE, layout="constrained")
    axes: Axes = figure.subplots()
    for number, series in enumerate(sorted({row.series for row in rows})):
        points = [(row.x, height(row)) for row in rows if row.series == series]
        axes.plot(
            *zip(*points, strict=True), marker="o", markersize=4, color=f"C{number}", label=series
        )
    places = sorted({row.x for row in rows})
    axes.set_xscale("log")
    axes.set_xticks(places, [f"{place:,.0f}" for place in places])
    axes.set_xticks([], minor=True)
    if study == "links":
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
    else:
        axes.set_ylim(bottom=0 if study == "racks" else 1)
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.grid(visible=True, alpha=0.3)
    axes.legend(fontsize="small")
    figure.savefig(folder / f"scaling-{study}.png", dpi=110)
