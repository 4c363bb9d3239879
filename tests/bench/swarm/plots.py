# SPDX-License-Identifier: GPL-2.0-or-later
"""The side-by-side benchmark as two pictures: time over nodes, and what the server sent."""

from collections.abc import Callable
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from tests.bench.swarm.rows import Row
from tests.bench.swarm.systems import SYSTEMS

TIME, SENT = "swarm-time.png", "swarm-sent.png"


def draw(rows: list[Row], folder: Path) -> None:
    """Both pictures into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    _plot(rows, lambda row: row.ratio, "last node's time / bound").savefig(folder / TIME, dpi=110)
    _plot(
        rows, lambda row: row.server_bytes / row.payload_bytes, "copies on the server's cable"
    ).savefig(folder / SENT, dpi=110)


def _plot(rows: list[Row], height: Callable[[Row], float | None], label: str) -> Figure:
    figure = Figure(figsize=(7.5, 4.5), layout="constrained")
    axes: Axes = figure.subplots()
    for number, name in enumerate(SYSTEMS):
        points = [(row.n, height(row)) for row in rows if row.system == name]
        if points:
            nodes, heights = zip(*points, strict=True)
            axes.plot(nodes, heights, marker="o", markersize=4, color=f"C{number}", label=name)
    counts = sorted({row.n for row in rows})
    axes.set_xscale("log", base=2)
    axes.set_xticks(counts, [str(count) for count in counts])
    axes.set_yscale("log", base=2)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set_xlabel("nodes")
    axes.set_ylabel(label)
    axes.grid(visible=True, alpha=0.3)
    axes.legend(fontsize="small")
    return figure
