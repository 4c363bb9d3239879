# SPDX-License-Identifier: GPL-2.0-or-later
"""Rows as the tables of docs/scaling.md."""

from collections.abc import Iterable, Iterator
from typing import get_args

from tests.bench.simulation.rows import Row
from tests.bench.simulation.studies import Study

_HEAD = ("series", "at", "first", "median", "last", "last / bound", "seeder, copies")
_MORE = ("into a rack, copies", "late or slow nodes, s", "processor, s")


def tables(rows: Iterable[Row]) -> Iterator[str]:
    """Markdown, a table for each study, lines in the order of series and x."""
    rows = sorted(rows, key=lambda row: (row.series, row.x))
    for study in get_args(Study):
        found = [row for row in rows if row.study == study]
        if found:
            yield f"\n{study}\n"
            yield "| " + " | ".join((*_HEAD, *_MORE)) + " |"
            yield "|---" * len((*_HEAD, *_MORE)) + "|"
            yield from map(_line, found)


def _line(row: Row) -> str:
    seconds = (row.seconds_first, row.seconds_median, row.seconds_last)
    cells = (
        row.series,
        f"{row.x:,.0f}",
        *(f"{second:.1f}" for second in seconds),
        f"{row.ratio:.2f}",
        f"{row.seeder_copies:.2f}",
        f"{row.rack_copies:.2f}" if row.rack_copies else "",
        f"{max(row.late_seconds, row.slow_seconds):.1f}"
        if row.late_seconds or row.slow_seconds
        else "",
        f"{row.cpu_seconds:.0f}",
    )
    return "| " + " | ".join(cells) + " |"
