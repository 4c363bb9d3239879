# SPDX-License-Identifier: GPL-2.0-or-later
"""Slow and fast links: a few nodes, where plain HTTP is hard to beat and processors are the limit.

The payload grows with the rate, so that a run takes some seconds everywhere.
"""

from collections.abc import Iterator
from pathlib import Path

from tests.bench.swarm import series
from tests.bench.swarm.rows import Row, Rows, Setting, summed, write
from tests.bench.swarm.series import Wish
from tests.bench.swarm.systems import FLOOR, HTTP, SWARMSTRAP, SYSTEMS

SCENARIO = "fast"
NODES = (1, 2, 4)
# bit/s, and bytes of the image's data; 0 is a link that nothing shapes.
LINKS = (
    (16_000_000, 40_000_000),
    (250_000_000, 200_000_000),
    (1_000_000_000, 400_000_000),
    (0, 400_000_000),
)


def bench(wish: Wish, rows: Rows, folder: Path, pictures: Path) -> Iterator[str]:
    """Swarmstrap and HTTP, and the floor, at every rate."""
    plans = [
        series.equal(
            SYSTEMS[name],
            Setting(system=name, n=n, rate=rate, size=size, round=round_, scenario=SCENARIO),
        )
        for round_ in range(1, wish.rounds + 1)
        for rate, size in LINKS
        for n in wish.nodes or NODES
        for name in wish.systems or (FLOOR, HTTP, SWARMSTRAP)
    ]

    def measured() -> list[Row]:
        return list(summed(rows.all(SCENARIO)))

    series.run(plans, rows, lambda: write(measured(), folder / "swarm-fast.json"), again=wish.again)
    yield from table(measured())


def table(rows: list[Row]) -> Iterator[str]:
    yield "| link | nodes | system | last node, s | / bound | / HTTP | processor s | idle |"
    yield "|---|---|---|---|---|---|---|---|"
    http = {(row.rate, row.n): row.seconds_last for row in rows if row.system == HTTP}
    for row in sorted(rows, key=lambda row: (row.rate or float("inf"), row.n, row.system)):
        link = f"{row.rate / 1e6:.0f} Mbit/s" if row.rate else "not shaped"
        of_bound = "" if row.ratio is None else f"{row.ratio:.2f}"
        beside = http.get((row.rate, row.n))
        of_http = "" if beside is None else f"{row.seconds_last / beside:.2f}"
        yield (
            f"| {link} | {row.n} | {row.system} | {row.seconds_last:.2f} | {of_bound} "
            f"| {of_http} | {row.cpu_seconds:.1f} | {row.cpu_idle:.0%} |"
        )
