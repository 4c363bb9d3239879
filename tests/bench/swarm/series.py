# SPDX-License-Identifier: GPL-2.0-or-later
"""Many runs, one after another, and how long they will take; what was measured is kept."""

import asyncio
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from tests.bench.links import Link, network
from tests.bench.swarm import payload
from tests.bench.swarm.measure import Manners, measure
from tests.bench.swarm.rows import Rows, Run, Setting
from tests.bench.swarm.systems import Stage, System

# What a run takes besides: processes started and ended, files compared, counters asked.
_FIXED_SECONDS, _NODE_SECONDS = 8.0, 0.8
_TICK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be measured; where nothing is said, all of it. `rate` in bit/s, `size` in bytes;
    `again` means also what was measured already.
    """

    systems: tuple[str, ...]
    scenarios: tuple[str, ...]
    nodes: tuple[int, ...]
    rate: int
    size: int
    rounds: int
    again: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """One run. The first of the links is the server's; `uplink` is bit/s between racks."""

    system: System
    setting: Setting
    links: tuple[Link, ...]
    manners: tuple[Manners, ...]
    uplink: int | None = None

    @property
    def title(self) -> str:
        setting = self.setting
        rate = f"{setting.rate / 1e6:.0f} Mbit/s" if setting.rate else "not shaped"
        words = (setting.system, f"{setting.n} nodes", rate, setting.scenario)
        return ", ".join((*filter(None, words), f"round {setting.round}"))

    @property
    def expected(self) -> float:
        """Seconds, all in all."""
        taken = self.setting.bound * self.system.expected(self.setting.n)
        return taken + _FIXED_SECONDS + _NODE_SECONDS * self.setting.n


def equal(system: System, setting: Setting) -> Plan:
    """Equal links for the server and all nodes, and nodes of the best manners."""
    link = Link(setting.rate or None)
    return Plan(system, setting, (link,) * (setting.n + 1), (Manners(),) * setting.n)


def run(
    plans: Sequence[Plan], rows: Rows, keep: Callable[[], None], *, again: bool = False
) -> None:
    """Those that were not measured yet, or all of them `again`; `keep` is called after each.

    Needs root. Interrupted, it goes on with the next run when it is called anew. Raises
    RuntimeError in the end if a run failed.
    """
    failed: list[str] = []
    missing = [plan for plan in plans if again or rows.get(plan.setting) is None]
    left = sum(plan.expected for plan in missing)
    console = Console(stderr=True, soft_wrap=True)
    console.print(
        f"{len(missing)} runs, about {_clock(left)} min:s; {len(plans) - len(missing)} are there"
    )
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[left]} left"),
    )
    with Progress(*columns, console=console, refresh_per_second=1) as progress:
        task = progress.add_task("", total=left, left=_clock(left))
        for plan in missing:
            progress.update(task, description=plan.title)
            try:
                measured = asyncio.run(_watched(plan, progress, task))
            except (RuntimeError, TimeoutError) as error:
                failed.append(f"{plan.title}: {error}")
                progress.console.print(failed[-1])
                continue
            progress.console.print(_line(plan, measured))
            rows.put(measured)
            keep()
    if failed:
        raise RuntimeError("\n".join(failed))


async def _watched(plan: Plan, progress: Progress, task: TaskID) -> Run:
    """The bar moves with the clock, and waits where a run takes longer than was expected."""
    before = progress.tasks[task].completed
    total = progress.tasks[task].total or 0.0
    loop = asyncio.get_running_loop()
    started = loop.time()

    def move(seconds: float) -> None:
        completed = before + min(seconds, plan.expected)
        progress.update(task, completed=completed, left=_clock(total - completed))

    async def tick() -> None:
        while True:
            move(loop.time() - started)
            await asyncio.sleep(_TICK_SECONDS)

    ticking = asyncio.create_task(tick())
    try:
        return await _run(plan)
    finally:
        ticking.cancel()
        move(plan.expected)


async def _run(plan: Plan) -> Run:
    """On new machines with a new image."""
    with (
        tempfile.TemporaryDirectory(prefix="swarmstrap-bench-", dir="/dev/shm") as name,
        network(plan.links, plan.uplink) as net,
    ):
        folder = Path(name)
        image = await asyncio.to_thread(payload.make, folder, net.machines[0], plan.setting.size)
        stage = Stage(image, net, plan.setting.n, plan.links[0].rate, folder)
        return await measure(plan.system, plan.setting, stage, plan.manners)


def _line(plan: Plan, run: Run) -> str:
    of_bound = "" if run.ratio is None else f"{run.ratio:.3f} of the bound, "
    return (
        f"{plan.title}: {max(run.seconds):.1f} s, {of_bound}"
        f"{run.server_bytes / run.payload_bytes:.2f} copies, {run.cpu_idle:.0%} idle"
    )


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
