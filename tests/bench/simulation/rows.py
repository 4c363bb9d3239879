# SPDX-License-Identifier: GPL-2.0-or-later
"""A simulated run as a row, and the file of all rows. A row of other code is not a row any more."""

import hashlib
import statistics
import time
from pathlib import Path

import msgspec
from tests.bench.simulation import (
    clock,
    dealt,
    graphs,
    pieces,
    site,
    swarm,
    trade,
    unchoking,
    wires,
)
from tests.bench.simulation.site import Run
from tests.bench.simulation.studies import Case, Study

from swarmstrap_server.swarm import dealing, neighbours, tier

RESULTS = Path("build/bench/simulation.json")


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds are a node's since it joined; `ratio` is the last one's over the bound. Copies are
    of the image, `rack_copies` those that came in by a rack's uplink, the mean of all racks.
    `late_seconds` is the slowest of those that joined late, `slow_seconds` of those with a slow
    link, and neither are in the others; 0 is none. `code` is what made the row: see `code`.
    """

    study: Study
    series: str
    x: float
    nodes: int
    link: float
    seeder_link: float
    seconds_first: float
    seconds_median: float
    seconds_last: float
    bound_seconds: float
    ratio: float
    seeder_copies: float
    rack_copies: float
    wasted: float
    late_seconds: float
    slow_seconds: float
    cpu_seconds: float
    code: str


_POLICY = (dealing, neighbours, tier)
_ENGINE = (clock, dealt, graphs, pieces, site, swarm, trade, unchoking, wires)


def code(run: Run) -> str:
    """A digest of the run, of the product's policy and of what simulates them."""
    digest = hashlib.blake2b(repr(run).encode(), digest_size=8)
    for module in (*_POLICY, *_ENGINE):
        digest.update(Path(module.__file__ or "").read_bytes())
    return digest.hexdigest()


def row(case: Case, made_by: str) -> Row:
    began = time.process_time()
    run = case.run
    outcome = swarm.simulate(run)
    others = set(run.late) | set(range(run.site.slow_nodes))
    seconds = sorted(s for node, s in enumerate(outcome.seconds) if node not in others)
    return Row(
        study=case.study,
        series=case.series,
        x=case.x,
        nodes=run.site.nodes,
        link=run.site.link,
        seeder_link=run.site.seeder_link,
        seconds_first=round(seconds[0], 3),
        seconds_median=round(statistics.median(seconds), 3),
        seconds_last=round(seconds[-1], 3),
        bound_seconds=round(run.bound, 3),
        ratio=round(seconds[-1] / run.bound, 4),
        seeder_copies=round(outcome.seeder_copies, 4),
        rack_copies=round(statistics.mean(outcome.into_rack), 3),
        wasted=round(outcome.wasted, 5),
        late_seconds=round(max((outcome.seconds[n] for n in run.late), default=0.0), 3),
        slow_seconds=round(max(outcome.seconds[: run.site.slow_nodes], default=0.0), 3),
        cpu_seconds=round(time.process_time() - began, 1),
        code=made_by,
    )


def named(row: Row, case: Case) -> Row:
    """The row of the same run, as this case's."""
    return msgspec.structs.replace(row, study=case.study, series=case.series, x=case.x)


def read() -> list[Row]:
    if not RESULTS.exists():
        return []
    return msgspec.json.decode(RESULTS.read_bytes(), type=list[Row])


def write(rows: list[Row]) -> None:
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    partial = RESULTS.with_suffix(".new")
    partial.write_bytes(msgspec.json.format(msgspec.json.encode(rows), indent=1))
    partial.replace(RESULTS)
