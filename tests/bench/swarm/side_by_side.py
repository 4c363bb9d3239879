# SPDX-License-Identifier: GPL-2.0-or-later
"""Every system with 1, 2, 4 ... nodes on equal links, the server's like the nodes'."""

from collections.abc import Iterator
from pathlib import Path

from tests.bench.swarm import plots, series
from tests.bench.swarm.rows import Row, Rows, Setting, summed, write
from tests.bench.swarm.series import Wish
from tests.bench.swarm.systems import SYSTEMS

NODES = (1, 2, 4, 8, 16, 32)


def bench(wish: Wish, rows: Rows, folder: Path, pictures: Path) -> Iterator[str]:
    """Measures what is missing, the quick ones first; then a table of all at this rate and size."""
    plans = [
        series.equal(
            SYSTEMS[name], Setting(system=name, n=n, rate=wish.rate, size=wish.size, round=round_)
        )
        for round_ in range(1, wish.rounds + 1)
        for name in wish.systems or SYSTEMS
        for n in wish.nodes or NODES
    ]
    plans.sort(key=lambda plan: (plan.setting.round, plan.expected))

    def measured() -> list[Row]:
        of_it = (
            run
            for run in rows.all()
            if (run.setting.rate, run.setting.size) == (wish.rate, wish.size)
        )
        return sorted(summed(of_it), key=lambda row: (list(SYSTEMS).index(row.system), row.n))

    def keep() -> None:
        write(measured(), folder / "swarm.json")

    series.run(plans, rows, keep, again=wish.again)
    keep()
    plots.draw(measured(), pictures)
    yield from table(measured())


def table(rows: list[Row]) -> Iterator[str]:
    yield (
        "| system | nodes | last node / bound | all rounds | median node | first node "
        "| copies sent | idle |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    for row in rows:
        ratios = " ".join(f"{ratio:.2f}" for ratio in row.ratios)
        first, median = (
            f"{seconds / row.bound_seconds:.2f}" if row.bound_seconds else f"{seconds:.2f} s"
            for seconds in (row.seconds_first, row.seconds_median)
        )
        last = "" if row.ratio is None else f"{row.ratio:.2f}"
        copies = row.server_bytes / row.payload_bytes
        yield (
            f"| {row.system} | {row.n} | {last} | {ratios} | {median} | {first} "
            f"| {copies:.2f} | {row.cpu_idle:.0%} |"
        )
