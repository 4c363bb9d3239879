# SPDX-License-Identifier: GPL-2.0-or-later
"""One deployment, from the hardware to the new system: look, ask, decide, say, do.

Read this page and you know what a node does. `Host` is the machine it happens on. The plan is made
by `swarmstrap.plan`; its steps, of four families, are carried out by `Hands`.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from typing import Protocol, assert_never

from swarmstrap.cmdline import Settings
from swarmstrap.errors import SwarmstrapError
from swarmstrap.failure import AFTER_A_DRY_RUN, BEFORE_A_JOB, Verdict, explain, judge
from swarmstrap.hardware import Inventory
from swarmstrap.manifest import Manifest
from swarmstrap.plan import choices, make_plan
from swarmstrap.reporter import Reporter
from swarmstrap.selectors import verdict_lines
from swarmstrap.steps import Phase, Plan, Step, phase
from swarmstrap.steps.image import ImageStep
from swarmstrap.steps.leaving import FinishBoot, LeavingStep
from swarmstrap.steps.storage import StorageStep
from swarmstrap.steps.system import SystemStep
from swarmstrap.wire import DRY_RUN, Job

log = logging.getLogger(__name__)


class Hands(Protocol):
    """What carries out the steps of one plan, a method for each family of them."""

    async def storage(self, step: StorageStep) -> None: ...
    async def image(self, step: ImageStep) -> None: ...
    async def system(self, step: SystemStep) -> None: ...
    async def leave(self, step: LeavingStep) -> None: ...

    async def clean_up(self) -> None:
        """Undo what a failed attempt left: mounts, the swarm, worker processes. Never raises."""


class Host(Protocol):
    """The machine and its network. Errors carry a hint."""

    async def look(self) -> Inventory: ...
    async def ask(self, inventory: Inventory) -> Job:
        """Network, registration, job; every later event can reach the server."""

    async def trust(self, inventory: Inventory, job: Job) -> Manifest:
        """The job's manifest; raises Untrusted unless every signature and digest holds."""

    async def say(self, plan: Plan) -> None: ...

    def hands(self, inventory: Inventory, job: Job, manifest: Manifest, plan: Plan) -> Hands: ...

    async def shell(self, why: str) -> None:
        """Returns when a person leaves the shell; raises StepFailed when nobody uses it."""

    async def follow(self, verdict: Verdict) -> None:
        """Wait as the verdict says, then do it; returns only when it was `retry`."""


async def run(host: Host, report: Reporter, settings: Settings) -> None:
    """The whole story. It ends in the new system, or as the job wants failures to end."""
    part = partial(_part, host, report, settings)
    policy = BEFORE_A_JOB
    try:
        async with part("look", "look at the hardware"):
            inventory = await host.look()
        async with part("ask", "ask the server what to become"):
            job = await host.ask(inventory)
        policy = job.failure
        async with part("decide", "check the image and make a plan"):
            manifest = await host.trust(inventory, job)
            plan = make_plan(inventory, job, manifest)
        async with part("say", f"say {len(plan.steps)} steps"):
            await host.say(plan)
    except Exception as error:
        # Nothing was written yet: what was decided would be decided again.
        verdict = judge(error, policy, attempt=policy.attempts)
        _tell_failure(error, verdict, report)
        await _follow(verdict, host, report)
        return
    if settings.dry_run:
        report.start(DRY_RUN, "dry run: stop before the first write")
        for line in verdict_lines(choices(inventory, job)):
            report.log(line)
        report.succeed("planned, nothing was written")
        await _follow(AFTER_A_DRY_RUN, host, report)
        return
    hands = host.hands(inventory, job, manifest, plan)
    for attempt in count(1):
        try:
            await do(plan, hands, host, report, settings)
            return
        except Exception as error:
            verdict = judge(error, policy, attempt)
            _tell_failure(error, verdict, report)
            await hands.clean_up()
            await _follow(verdict, host, report)
            if verdict.action != "retry":
                return


async def do(plan: Plan, hands: Hands, host: Host, report: Reporter, settings: Settings) -> None:
    """Carry out every step in order; each is an event named `do/PHASE/NUMBER`."""
    last: Phase | None = None
    for number, step in enumerate(plan.steps, start=1):
        now = phase(step)
        report.start(f"do/{now}/{number}", str(step))
        if now != last:
            await _stop_before(now, host, settings)
        last = now
        if isinstance(step, FinishBoot):
            report.succeed()  # nobody will be here to say so afterwards
            await carry_out(step, hands)
            return
        await carry_out(step, hands)
        report.succeed()


async def carry_out(step: Step, hands: Hands) -> None:
    try:
        if isinstance(step, StorageStep):
            await hands.storage(step)
        elif isinstance(step, ImageStep):
            await hands.image(step)
        elif isinstance(step, SystemStep):
            await hands.system(step)
        elif isinstance(step, LeavingStep):
            await hands.leave(step)
        else:
            assert_never(step)
    except Exception as error:
        error.add_note(f"while trying to {step}")
        raise


@asynccontextmanager
async def _part(
    host: Host, report: Reporter, settings: Settings, name: str, description: str
) -> AsyncIterator[None]:
    report.start(name, description)
    await _stop_before(name, host, settings)
    yield
    report.succeed()


async def _stop_before(name: str, host: Host, settings: Settings) -> None:
    if settings.break_at == name:
        await host.shell(f"swarmstrap.break={name}")


async def _follow(verdict: Verdict, host: Host, report: Reporter) -> None:
    report.log(str(verdict))
    await host.follow(verdict)


def _tell_failure(error: Exception, verdict: Verdict, report: Reporter) -> None:
    """As the end of what was started last."""
    told = explain(error)
    # Where it came from is of use only for what nobody foresaw.
    trace = None if isinstance(error, SwarmstrapError) else error
    log.error("%s failed: %s", report.name, told, exc_info=trace)
    report.fail(told, again=verdict.action == "retry")
