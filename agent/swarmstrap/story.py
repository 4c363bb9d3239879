# SPDX-License-Identifier: GPL-2.0-or-later
"""One deployment, from the hardware to the new system: look, ask, decide, say, do.

Read this page and you know what a node does. `Host` is the machine it happens on; the plan is made
by `swarmstrap.plan`, and every step of it is carried out by one line of `carry_out`.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Protocol, assert_never

from swarmstrap.cmdline import Settings
from swarmstrap.errors import SwarmstrapError
from swarmstrap.failure import AFTER_A_DRY_RUN, BEFORE_A_JOB, Verdict, explain, judge
from swarmstrap.hardware import Inventory
from swarmstrap.manifest import Manifest
from swarmstrap.plan import make_plan
from swarmstrap.reporter import Reporter
from swarmstrap.steps import (
    CheckClones,
    ClearRest,
    FetchImage,
    FinishBoot,
    GrowDisk,
    InstallGrub,
    MakeFilesystem,
    MakeHostKeys,
    MountVolume,
    Phase,
    Plan,
    ProveTable,
    RefreshGrub,
    RemoveFiles,
    RunHook,
    Seed,
    Settle,
    Step,
    TidyTree,
    UpdateTree,
    VerifyTree,
    WipeDisk,
    WriteDiskImage,
    WriteFile,
    WritePartitionTable,
    phase,
)
from swarmstrap.wire import DRY_RUN, Job

log = logging.getLogger(__name__)


class Host(Protocol):
    """The hands: everything that touches the machine or the network. Errors carry a hint."""

    async def look(self) -> Inventory: ...
    async def ask(self, inventory: Inventory) -> Job:
        """Network, registration, job; every later event can reach the server."""

    async def trust(self, inventory: Inventory, job: Job) -> Manifest:
        """The job's manifest; raises Untrusted unless every signature and digest holds."""

    async def say(self, plan: Plan) -> None: ...

    async def wipe(self, step: WipeDisk) -> None: ...
    async def write_table(self, step: WritePartitionTable) -> None: ...
    async def make_filesystem(self, step: MakeFilesystem) -> None: ...
    async def mount(self, step: MountVolume) -> None: ...
    async def fetch(self, step: FetchImage) -> None: ...
    async def write_disk_image(self, step: WriteDiskImage) -> None: ...
    async def clear_rest(self, step: ClearRest) -> None: ...
    async def grow_disk(self, step: GrowDisk) -> None: ...
    async def check_clones(self, step: CheckClones) -> None: ...
    async def prove_table(self, step: ProveTable) -> None: ...
    async def update_tree(self, step: UpdateTree) -> None: ...
    async def tidy_tree(self, step: TidyTree) -> None: ...
    async def verify_tree(self, step: VerifyTree) -> None: ...
    async def write_file(self, step: WriteFile) -> None: ...
    async def remove_files(self, step: RemoveFiles) -> None: ...
    async def make_host_keys(self, step: MakeHostKeys) -> None: ...
    async def install_grub(self, step: InstallGrub) -> None: ...
    async def refresh_grub(self, step: RefreshGrub) -> None: ...
    async def run_hook(self, step: RunHook) -> None: ...
    async def settle(self, step: Settle) -> None: ...
    async def seed(self, step: Seed) -> None: ...
    async def finish(self, step: FinishBoot) -> None: ...

    async def shell(self, why: str) -> None:
        """Returns when a person leaves the shell; raises StepFailed when nobody uses it."""

    async def clean_up(self) -> None:
        """Undo what a failed attempt left: mounts, the swarm, worker processes. Never raises."""

    async def follow(self, verdict: Verdict) -> None:
        """Wait as the verdict says, then do it; returns only when it was `retry`."""


async def run(host: Host, report: Reporter, settings: Settings) -> None:
    """The whole story. It ends in the new system, or as the job wants failures to end."""
    policy = BEFORE_A_JOB
    try:
        async with _part("look", "look at the hardware", host, report, settings):
            inventory = await host.look()
        async with _part("ask", "ask the server what to become", host, report, settings):
            job = await host.ask(inventory)
        policy = job.failure
        async with _part("decide", "check the image and make a plan", host, report, settings):
            manifest = await host.trust(inventory, job)
            plan = make_plan(inventory, job, manifest)
        async with _part("say", f"say {len(plan.steps)} steps", host, report, settings):
            await host.say(plan)
    except Exception as error:
        verdict = judge(error, policy, attempt=policy.attempts)
        _tell_failure(error, verdict, report)
        await _follow(verdict, host, report)
        return
    if settings.dry_run:
        report.start(DRY_RUN, "dry run: stop before the first write")
        report.succeed("planned, nothing was written")
        await _follow(AFTER_A_DRY_RUN, host, report)
        return
    for attempt in count(1):
        try:
            await do(plan, host, report, settings)
            return
        except Exception as error:
            verdict = judge(error, policy, attempt)
            _tell_failure(error, verdict, report)
            await host.clean_up()
            await _follow(verdict, host, report)
            if verdict.action != "retry":
                return


async def do(plan: Plan, host: Host, report: Reporter, settings: Settings) -> None:
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
            await carry_out(step, host)
            return
        await carry_out(step, host)
        report.succeed()


async def carry_out(step: Step, host: Host) -> None:
    try:
        match step:
            case WipeDisk():
                await host.wipe(step)
            case WritePartitionTable():
                await host.write_table(step)
            case MakeFilesystem():
                await host.make_filesystem(step)
            case MountVolume():
                await host.mount(step)
            case FetchImage():
                await host.fetch(step)
            case WriteDiskImage():
                await host.write_disk_image(step)
            case ClearRest():
                await host.clear_rest(step)
            case GrowDisk():
                await host.grow_disk(step)
            case CheckClones():
                await host.check_clones(step)
            case ProveTable():
                await host.prove_table(step)
            case UpdateTree():
                await host.update_tree(step)
            case TidyTree():
                await host.tidy_tree(step)
            case VerifyTree():
                await host.verify_tree(step)
            case WriteFile():
                await host.write_file(step)
            case RemoveFiles():
                await host.remove_files(step)
            case MakeHostKeys():
                await host.make_host_keys(step)
            case InstallGrub():
                await host.install_grub(step)
            case RefreshGrub():
                await host.refresh_grub(step)
            case RunHook():
                await host.run_hook(step)
            case Settle():
                await host.settle(step)
            case Seed():
                await host.seed(step)
            case FinishBoot():
                await host.finish(step)
            case _:
                assert_never(step)
    except Exception as error:
        error.add_note(f"while trying to {step}")
        raise


@asynccontextmanager
async def _part(
    name: str, description: str, host: Host, report: Reporter, settings: Settings
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
