# SPDX-License-Identifier: GPL-2.0-or-later
"""Nodes and links that are not alike: each scenario with what it does to the others."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import msgspec
from tests.bench.links import Link
from tests.bench.swarm import series
from tests.bench.swarm.measure import Manners
from tests.bench.swarm.rows import Rows, Run, Setting, write
from tests.bench.swarm.series import Plan, Wish
from tests.bench.swarm.systems import SWARMSTRAP, SYSTEMS

NODES = 16


_GOOD = Manners()


@dataclass(frozen=True, slots=True)
class Scenario:
    """`odd` of the nodes, the last ones, have `odd_manners` and `odd_link` times the rate; times
    of being late are in bounds. The server has `server_link` times the rate. The second half of
    the nodes is in another rack where there is an `uplink`, of so many times the rate. `seeders`
    further ones have the image and links like the nodes'.
    """

    server_link: float = 1
    odd: int = 0
    odd_manners: Manners = _GOOD
    odd_link: float = 1
    manners: Manners = _GOOD
    uplink: float | None = None
    seeders: int = 0


SCENARIOS = {
    "alike": Scenario(),
    "server-link-4x": Scenario(server_link=4),
    "slow-link": Scenario(odd=1, odd_link=0.25),
    "slow-node": Scenario(odd=1, odd_manners=Manners(stopped=0.8)),
    "late-joiners": Scenario(odd=4, odd_manners=Manners(late=0.5)),
    "racks": Scenario(uplink=1),
    "two-further-seeders": Scenario(seeders=2),
    "leave-when-done": Scenario(manners=Manners(leaves=True)),
}


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """`ratio` is of the last ordinary node; `odd_ratio` of the last odd one, since its own start,
    both over the time of one copy through an ordinary link. Copies are bytes on the cable over
    the payload; those of the uplink are into the rack without the server, and out of it.
    """

    scenario: str
    system: str
    n: int
    rate: int
    size: int
    bound_seconds: float
    ratio: float
    ratios: tuple[float, ...]
    odd_ratio: float | None
    server_copies: float
    uplink_copies: tuple[float, float] | None
    cpu_idle: float


def bench(wish: Wish, rows: Rows, folder: Path, pictures: Path) -> Iterator[str]:
    """All scenarios, or those that are wished, for each number of nodes."""
    plans = [
        plan(
            Setting(system=system, n=n, rate=wish.rate, size=wish.size, round=round_, scenario=name)
        )
        for round_ in range(1, wish.rounds + 1)
        for n in wish.nodes or (NODES,)
        for system in wish.systems or (SWARMSTRAP,)
        for name in wish.scenarios or SCENARIOS
    ]

    def measured() -> list[Result]:
        return [
            _result([*runs])
            for name in SCENARIOS
            for _, runs in groupby(
                sorted(rows.all(name), key=lambda run: _alike(run.setting)),
                key=lambda run: _alike(run.setting),
            )
        ]

    def keep() -> None:
        write(measured(), folder / "swarm-mixed.json")

    series.run(plans, rows, keep, again=wish.again)
    keep()
    yield from table(measured())


def plan(setting: Setting) -> Plan:
    scenario, rate, n = SCENARIOS[setting.scenario], setting.rate, setting.n
    odd = frozenset(range(n - scenario.odd + 1, n + 1))
    far = frozenset(range(n // 2 + 1, n + 1)) if scenario.uplink else frozenset[int]()
    nodes = (
        Link(round(rate * (scenario.odd_link if number in odd else 1)), int(number in far))
        for number in range(1, n + 1)
    )
    late = scenario.odd_manners.late * setting.bound
    manners = (
        replace(scenario.odd_manners, late=late) if number in odd else scenario.manners
        for number in range(1, n + 1)
    )
    return Plan(
        SYSTEMS[setting.system],
        setting,
        (Link(round(rate * scenario.server_link)), *nodes, *[Link(rate)] * scenario.seeders),
        tuple(manners),
        uplink=round(rate * scenario.uplink) if scenario.uplink else None,
    )


def table(results: list[Result]) -> Iterator[str]:
    yield (
        "| scenario | system | nodes | MB | last node / bound | all rounds | odd nodes / bound "
        "| copies sent | into / out of the other rack |"
    )
    yield "|---|---|---|---|---|---|---|---|---|"
    for result in results:
        ratios = " ".join(f"{ratio:.2f}" for ratio in result.ratios)
        odd = "" if result.odd_ratio is None else f"{result.odd_ratio:.2f}"
        uplink = " / ".join(f"{copies:.2f}" for copies in result.uplink_copies or ())
        yield (
            f"| {result.scenario} | {result.system} | {result.n} | {result.size / 1e6:.0f} "
            f"| {result.ratio:.2f} | {ratios} | {odd} | {result.server_copies:.2f} | {uplink} |"
        )


def _alike(setting: Setting) -> tuple[str, int, int, int]:
    return setting.system, setting.n, setting.rate, setting.size


def _result(runs: list[Run]) -> Result:
    """Of the round with the median ratio, and the ratios of all."""
    run = sorted(runs, key=_ratio)[(len(runs) - 1) // 2]
    scenario = SCENARIOS[run.setting.scenario]
    odd = run.seconds[run.setting.n - scenario.odd :]
    size, (into, out) = run.payload_bytes, run.uplink_bytes
    return Result(
        scenario=run.setting.scenario,
        system=run.setting.system,
        n=run.setting.n,
        rate=run.setting.rate,
        size=run.setting.size,
        bound_seconds=round(run.bound, 3),
        ratio=round(_ratio(run), 3),
        ratios=tuple(round(_ratio(each), 3) for each in runs),
        odd_ratio=round(max(odd) / run.bound, 3) if odd else None,
        server_copies=round(run.server_bytes / size, 3),
        uplink_copies=(round(into / size, 3), round(out / size, 3)) if scenario.uplink else None,
        cpu_idle=round(run.cpu_idle, 3),
    )


def _ratio(run: Run) -> float:
    ordinary = run.setting.n - SCENARIOS[run.setting.scenario].odd
    return max(run.seconds[:ordinary]) / run.bound
