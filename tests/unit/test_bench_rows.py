# SPDX-License-Identifier: GPL-2.0-or-later
"""What the swarm's benchmark makes of its runs, and how it lays out a scenario."""

from pathlib import Path

import pytest
from tests.bench.links import Link
from tests.bench.swarm.mixed import SCENARIOS, plan
from tests.bench.swarm.rows import Rows, Run, Setting, summed

RATE, SIZE = 8_000_000, 40_000_000


def setting(round_: int = 1, *, n: int = 4, scenario: str = "") -> Setting:
    return Setting(system="swarmstrap", n=n, rate=RATE, size=SIZE, round=round_, scenario=scenario)


def run(round_: int, *seconds: float) -> Run:
    return Run(
        setting=setting(round_, n=len(seconds)),
        seconds=seconds,
        server_bytes=SIZE,
        server_payload_bytes=SIZE,
        payload_bytes=SIZE,
        cpu_idle=0.5,
        cpu_seconds=10.0,
    )


def test_a_row_is_the_round_with_the_median_last_node() -> None:
    (row,) = summed([run(1, 41.0, 60.0), run(2, 42.0, 44.0), run(3, 43.0, 48.0)])
    assert (row.seconds_first, row.seconds_median, row.seconds_last) == (43.0, 45.5, 48.0)
    assert row.ratios == (1.5, 1.1, 1.2)
    assert row.ratio == pytest.approx(1.2)


def test_what_was_measured_is_found_again(tmp_path: Path) -> None:
    rows = Rows(tmp_path / "rows")
    assert rows.get(setting(1, n=2)) is None
    rows.put(run(1, 41.0, 42.0))
    assert Rows(tmp_path / "rows").get(setting(1, n=2)) == run(1, 41.0, 42.0)
    assert rows.get(setting(2, n=2)) is None
    assert rows.all("racks") == []


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_scenario_has_a_link_and_manners_for_each_node(name: str) -> None:
    planned = plan(setting(n=8, scenario=name))
    assert len(planned.manners) == 8
    assert len(planned.links) == 1 + 8 + SCENARIOS[name].seeders


def test_the_last_nodes_are_the_odd_ones() -> None:
    assert plan(setting(n=8, scenario="slow-link")).links[-2:] == (Link(RATE), Link(RATE // 4))
    assert plan(setting(n=8, scenario="late-joiners")).manners[4].late == pytest.approx(20.0)
    assert [link.rack for link in plan(setting(scenario="racks")).links] == [0, 0, 0, 1, 1]
