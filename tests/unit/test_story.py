# SPDX-License-Identifier: GPL-2.0-or-later
"""The story on a stand-in host: the order of things, what is told, and how each failure ends."""

from pathlib import Path

import msgspec
import pytest
from tests.plans.test_plans import inventory_of, job_of, manifest_of

from swarmstrap.cmdline import Settings
from swarmstrap.errors import Refused, StepFailed, Unplannable, Unreachable, Untrusted
from swarmstrap.failure import NotArmed, Verdict
from swarmstrap.hardware import Inventory
from swarmstrap.manifest import Manifest
from swarmstrap.plan import make_plan
from swarmstrap.reporter import Reporter
from swarmstrap.steps import Plan, Step, phase
from swarmstrap.story import Host, run
from swarmstrap.wire import DRY_RUN, Event, Failure, Job

CASE = Path(__file__).parent.parent / "plans" / "hooks"
SETTINGS = Settings("https://192.0.2.1:8443")
INVENTORY, MANIFEST = inventory_of(CASE), manifest_of(CASE)
JOB = job_of(CASE)
PLAN = make_plan(INVENTORY, JOB, MANIFEST)
EVENTS = [f"do/{phase(step)}/{number}" for number, step in enumerate(PLAN.steps, start=1)]


class Machine:
    """Notes what it was asked, and fails once for each error planned under the name of a part."""

    def __init__(self, job: Job = JOB, **errors: Exception) -> None:
        self.job = job
        self.errors = errors
        self.done: list[str] = []
        self.verdicts: list[Verdict] = []

    async def look(self) -> Inventory:
        await self._note("look")
        return INVENTORY

    async def ask(self, inventory: Inventory) -> Job:
        await self._note("ask")
        return self.job

    async def trust(self, inventory: Inventory, job: Job) -> Manifest:
        await self._note("trust")
        return MANIFEST

    async def say(self, plan: Plan) -> None:
        await self._note("say")

    def hands(self, *decided: object) -> "Machine":
        return self

    async def step(self, step: Step) -> None:
        await self._note(phase(step), str(step))

    storage = image = system = leave = step

    async def shell(self, why: str) -> None:
        await self._note("shell", f"shell: {why}")

    async def clean_up(self) -> None:
        await self._note("clean up")

    async def follow(self, verdict: Verdict) -> None:
        self.verdicts.append(verdict)

    async def _note(self, part: str, line: str = "") -> None:
        self.done.append(line or part)
        if part in self.errors:
            raise self.errors.pop(part)


async def tell(machine: Machine, settings: Settings = SETTINGS) -> list[Event]:
    host: Host = machine
    events: list[Event] = []
    await run(host, Reporter([events.append]), settings)
    return events


def failures(events: list[Event]) -> list[tuple[str, str, str]]:
    return [(e.name, e.description, e.hint) for e in events if e.result == "fail"]


async def test_look_ask_decide_say_do() -> None:
    machine = Machine()
    events = await tell(machine)
    assert machine.done == ["look", "ask", "trust", "say", *PLAN.lines()]
    assert machine.verdicts == []
    names = ["look", "ask", "decide", "say", *EVENTS]
    assert [e.name for e in events if e.kind == "start"] == names
    assert [e.name for e in events if e.result == "success"] == names
    assert [e.description for e in events if e.kind == "start"][4:] == list(PLAN.lines())


async def test_a_dry_run_stops_after_say() -> None:
    machine = Machine()
    events = await tell(machine, Settings("https://192.0.2.1:8443", dry_run=True))
    assert machine.done == ["look", "ask", "trust", "say"]
    assert (events[-2].name, events[-2].kind, events[-2].result) == (DRY_RUN, "finish", "success")
    assert machine.verdicts == [Verdict("reboot", 30.0)]
    logged = [event.description for event in events if event.kind == "log"]
    assert logged[0] == "disk system:"
    assert any(line.startswith("* /dev/") for line in logged)


@pytest.mark.parametrize(
    ("place", "before"), [("look", "look"), ("decide", "trust"), ("image", "fetch image")]
)
async def test_a_break_opens_a_shell_once_before_its_place(place: str, before: str) -> None:
    machine = Machine()
    await tell(machine, Settings("https://192.0.2.1:8443", break_at=place))
    shells = [n for n, line in enumerate(machine.done) if line.startswith("shell")]
    assert len(shells) == 1
    assert machine.done[shells[0]] == f"shell: swarmstrap.break={place}"
    assert machine.done[shells[0] + 1].startswith(before)


@pytest.mark.parametrize(
    ("part", "name", "error", "verdict"),
    [
        ("look", "look", StepFailed("no udev", hint="h"), Verdict("reboot", 30.0)),
        ("ask", "ask", NotArmed("node7 is not armed", hint="h"), Verdict("reboot", 5.0)),
        ("ask", "ask", Unreachable("no server", hint="h"), Verdict("reboot", 30.0)),
        ("ask", "ask", Refused("token was already used", hint="h"), Verdict("reboot", 30.0)),
        ("trust", "decide", Untrusted("bad signature", hint="h"), Verdict("poweroff", 30.0)),
        ("say", "say", Unreachable("no server", hint="h"), Verdict("poweroff", 30.0)),
    ],
)
async def test_failures_before_the_first_write(
    part: str, name: str, error: Exception, verdict: Verdict
) -> None:
    policy = Failure(action="retry", attempts=5, then="poweroff")
    machine = Machine(msgspec.structs.replace(JOB, failure=policy), **{part: error})
    events = await tell(machine)
    assert machine.verdicts == [verdict]
    assert failures(events) == [(name, str(error.args[0]), "h")]
    assert not set(machine.done) & set(PLAN.lines())


async def test_no_plan_is_told_and_nothing_is_written() -> None:
    small = msgspec.structs.replace(JOB.layout.disks[0], match={"size": ">= 1TiB"})
    job = msgspec.structs.replace(JOB, layout=msgspec.structs.replace(JOB.layout, disks=(small,)))
    machine = Machine(job)
    events = await tell(machine)
    with pytest.raises(Unplannable) as expected:
        make_plan(INVENTORY, job, MANIFEST)
    assert failures(events) == [("decide", expected.value.message, expected.value.hint)]
    assert machine.verdicts == [Verdict("reboot", 30.0)]
    assert machine.done == ["look", "ask", "trust"]


async def test_a_step_that_fails_is_tried_again_from_the_first_step() -> None:
    policy = Failure(action="retry", attempts=2)
    machine = Machine(
        msgspec.structs.replace(JOB, failure=policy), image=StepFailed("swarm is empty", hint="h")
    )
    events = await tell(machine)
    fetch = next(line for line in PLAN.lines() if line.startswith("fetch"))
    failed = machine.done.index("clean up")
    assert machine.done[failed - 1] == fetch
    assert machine.done[failed + 1 :] == list(PLAN.lines())
    assert machine.verdicts == [Verdict("retry", 5.0, attempts_left=1)]
    assert failures(events) == []  # to the server the deployment goes on
    [(name, description, hint)] = [
        (e.name, e.description, e.hint) for e in events if e.result == "warning"
    ]
    assert name == next(name for name in EVENTS if name.startswith("do/image"))
    assert description == f"swarm is empty (while trying to {fetch})"
    assert hint == "h"
    assert events[-1].name == EVENTS[-1]


@pytest.mark.parametrize(("place", "name"), [("decide", "decide"), ("image", "do/image")])
async def test_a_break_that_nobody_came_for_is_a_failure(place: str, name: str) -> None:
    policy = Failure(action="shell", then="poweroff")
    machine = Machine(
        msgspec.structs.replace(JOB, failure=policy), shell=StepFailed("nobody typed", hint="h")
    )
    events = await tell(machine, Settings("https://192.0.2.1:8443", break_at=place))
    [(failed, description, _)] = failures(events)
    assert failed.startswith(name)
    assert description == "nobody typed"
    assert machine.verdicts == [Verdict("shell", 0.0, then="poweroff")]


async def test_attempts_have_an_end() -> None:
    policy = Failure(action="retry", attempts=1, then="shell")
    machine = Machine(
        msgspec.structs.replace(JOB, failure=policy), hooks=StepFailed("hook 10-x exited 3")
    )
    await tell(machine)
    assert machine.verdicts == [Verdict("shell", 0.0)]
    assert machine.done[-1] == "clean up"


async def test_a_bug_is_one_line_and_not_tried_again() -> None:
    policy = Failure(action="retry", attempts=5)
    machine = Machine(msgspec.structs.replace(JOB, failure=policy), disks=KeyError("oops"))
    events = await tell(machine)
    [(_, description, hint)] = failures(events)
    assert description == f"KeyError: 'oops' (while trying to {PLAN.lines()[0]})"
    assert "traceback is in the log" in hint
    assert machine.verdicts == [Verdict("reboot", 30.0)]


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        (Verdict("retry", 5.0, 1), "trying again in 5 s (1 more)"),
        (Verdict("reboot", 30.0), "rebooting in 30 s"),
        (Verdict("poweroff", 30.0), "powering off in 30 s"),
        (
            Verdict("shell", 0.0, then="poweroff"),
            "a shell is open on this console; leave it, or leave it alone for 30 min, to power off",
        ),
    ],
)
def test_what_comes_next_is_said(verdict: Verdict, said: str) -> None:
    assert str(verdict) == said
