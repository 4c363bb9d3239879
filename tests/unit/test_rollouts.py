# SPDX-License-Identifier: GPL-2.0-or-later
"""The state machine of rollouts, played against nodes that do whatever they like."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.unit.making import deployment

from swarmstrap_server.control.nodes import SILENCE_SECONDS, Deployment
from swarmstrap_server.control.operator_wire import Arm
from swarmstrap_server.rollouts import machine
from swarmstrap_server.rollouts.machine import Start, TakeBack
from swarmstrap_server.rollouts.values import Member, Order, Pace, Rollout

T0 = 1_800_000_000.0
STEP = 5.0
# What a node does when it is started, once for each try.
Fate = Literal["installs", "fails", "falls silent", "stays away", "no answer", "hangs", "refused"]
FATES: tuple[Fate, ...] = (
    "installs",
    "fails",
    "falls silent",
    "stays away",
    "no answer",
    "hangs",
    "refused",
)


def rollout(count: int, pace: Pace, retries: int = 1, switched: bool = True) -> Rollout:
    nodes = tuple(f"n{i}" for i in range(count))
    order = Order(arm=Arm(nodes=nodes, image="debian", version="1"), pace=pace, retries=retries)
    members = tuple(Member(node=node, switched=switched, since=T0) for node in nodes)
    return Rollout(id="r", order=order, created=T0, members=members)


def armed(key: str, node: str, now: float) -> Deployment:
    return deployment(key, node, now, until=now + 1800)


@dataclass
class World:
    """Nodes with a fate for each of their tries, the last one for all that follow."""

    rollout: Rollout
    fates: dict[str, Sequence[Fate]]
    now: float = T0
    seen: dict[str, Deployment] = field(default_factory=dict)
    starts: list[tuple[float, str]] = field(default_factory=list)
    taken_back: list[str] = field(default_factory=list)
    most_at_work: int = 0

    def play(self, steps: int = 4000, *, cancel_at: int | None = None) -> None:
        for step in range(steps):
            if step == cancel_at:
                self.rollout = machine.cancelled(self.rollout)
            self.rollout, actions = machine.advance(self.rollout, self.seen, self.now)
            for action in actions:
                if isinstance(action, TakeBack):
                    self.taken_back.append(action.deployment)
                    self.end(action.deployment, "failed" if action.failed else "disarmed")
                else:
                    self.start(action)
            working = [m for m in self.rollout.members if not m.ended and m.state != "waiting"]
            self.most_at_work = max(self.most_at_work, len(working))
            if self.rollout.ended is not None:
                return
            self.now += STEP
            self.live()

    def start(self, action: Start) -> None:
        node = action.node
        self.starts.append((self.now, node))
        member = next(m for m in self.rollout.members if m.node == node)
        fate = self.fate(member)
        if fate == "refused":
            self.rollout = machine.not_started(self.rollout, node, self.now, "no", "", final=True)
            return
        begun = armed(f"{node}-{len(self.seen)}", node, self.now)
        self.seen[begun.id] = begun
        self.rollout = machine.armed(self.rollout, [begun])
        if fate == "no answer":
            self.rollout = machine.not_started(self.rollout, node, self.now, "no answer", "")
        elif member.switched and fate != "hangs":
            self.rollout = machine.switched(self.rollout, node, self.now)

    def fate(self, member: Member) -> Fate:
        fates = self.fates[member.node]
        return fates[min(member.tries, len(fates)) - 1]

    def live(self) -> None:
        for member in self.rollout.members:
            known = self.seen.get(member.deployment)
            if known is None or member.ended:
                continue
            fate = self.fate(member)
            if known.state == "armed" and fate in ("installs", "fails", "falls silent"):
                self.seen[known.id] = replace(known, state="active", heard=self.now)
            elif known.state == "armed" and self.now >= known.until:
                self.end(known.id, "expired")
            elif known.state == "active" and fate == "installs":
                self.end(known.id, "deployed")
            elif known.state == "active" and fate == "fails":
                self.seen[known.id] = replace(known, heard=self.now)
                self.end(known.id, "failed")
            elif known.state == "active" and self.now - (known.heard or 0) >= SILENCE_SECONDS:
                self.end(known.id, "failed")

    def end(self, key: str, state: Literal["deployed", "failed", "expired", "disarmed"]) -> None:
        self.seen[key] = replace(self.seen[key], state=state, ended=self.now, reason=state)

    def most_starts_within(self, seconds: float) -> int:
        times = [at for at, _ in self.starts]
        return max((sum(a <= t < a + seconds for t in times) for a in times), default=0)

    def states(self) -> list[str]:
        return [member.state for member in self.rollout.members]


paces = st.builds(
    Pace,
    actions=st.integers(1, 5),
    seconds=st.sampled_from([1.0, 30.0, 120.0]),
    deploying=st.integers(0, 4),
)
some_fates = st.lists(
    st.lists(st.sampled_from(FATES), min_size=1, max_size=3), min_size=1, max_size=12
)


def world(fates: list[list[Fate]], pace: Pace, retries: int, switched: bool) -> World:
    begun = rollout(len(fates), pace, retries, switched)
    return World(begun, {f"n{i}": one for i, one in enumerate(fates)})


@settings(deadline=None)
@given(some_fates, paces, st.integers(0, 3), st.booleans())
def test_every_node_ends_and_the_pace_is_kept(
    fates: list[list[Fate]], pace: Pace, retries: int, switched: bool
) -> None:
    played = world(fates, pace, retries, switched)
    played.play()
    assert played.rollout.ended is not None
    assert all(member.ended for member in played.rollout.members)
    if switched:
        assert played.most_starts_within(pace.seconds) <= pace.actions
    if pace.deploying:
        assert played.most_at_work <= pace.deploying
    for member in played.rollout.members:
        assert member.tries <= retries + 1
        assert member.state == "deployed" or member.reason


@settings(deadline=None)
@given(some_fates, paces, st.integers(0, 3), st.integers(0, 60))
def test_cancel_ends_all_and_begins_nothing(
    fates: list[list[Fate]], pace: Pace, retries: int, step: int
) -> None:
    played = world(fates, pace, retries, switched=True)
    played.play(cancel_at=step)
    assert played.rollout.ended is not None
    assert all(at < T0 + step * STEP for at, _ in played.starts)
    # Whoever was given up cannot be wiped by what was granted to it.
    assert all(d.state not in ("armed", "active") for d in played.seen.values())


@settings(deadline=None)
@given(some_fates, st.integers(0, 2))
def test_nothing_stays_armed_for_a_node_that_was_given_up(
    fates: list[list[Fate]], retries: int
) -> None:
    played = world(fates, Pace(), retries, switched=True)
    played.play()
    assert all(d.state != "armed" for d in played.seen.values())


@pytest.mark.parametrize(
    ("fates", "state", "tries"),
    [
        (["installs"], "deployed", 1),
        (["stays away", "installs"], "deployed", 2),
        (["no answer", "installs"], "deployed", 2),
        (["hangs", "installs"], "deployed", 2),
        (["falls silent", "installs"], "deployed", 2),
        (["stays away", "stays away", "installs"], "failed", 2),
        (["fails", "installs"], "failed", 1),
        (["refused", "installs"], "failed", 1),
    ],
)
def test_what_may_go_better_is_tried_again(fates: list[Fate], state: str, tries: int) -> None:
    played = world([fates], Pace(), retries=1, switched=True)
    played.play()
    (member,) = played.rollout.members
    assert (member.state, member.tries) == (state, tries)


@pytest.mark.parametrize(
    ("fate", "seconds", "reason"),
    [
        ("hangs", 40, "it was not switched on within 40 s"),
        ("stays away", 60, "switched on, and not heard of for 60 s"),
    ],
)
def test_a_node_is_given_up_when_the_pace_says(fate: Fate, seconds: float, reason: str) -> None:
    played = world([[fate]], Pace(power_seconds=40, boot_seconds=60), 0, switched=True)
    played.play()
    (member,) = played.rollout.members
    assert (member.state, member.reason) == ("failed", reason)
    assert played.now - T0 == pytest.approx(seconds, abs=3 * STEP)


def test_a_node_that_somebody_starts_has_as_long_as_its_arming() -> None:
    played = world([["stays away"]], Pace(boot_seconds=60), retries=3, switched=False)
    played.play()
    (member,) = played.rollout.members
    assert (member.state, member.tries, member.reason) == ("failed", 1, "expired")
    assert played.now - T0 == pytest.approx(1800, abs=2 * STEP)


def test_a_thousand_nodes_by_eight_in_thirty_seconds() -> None:
    played = world([["installs"]] * 1000, Pace(actions=8, seconds=30), 1, switched=True)
    played.play()
    assert set(played.states()) == {"deployed"}
    assert played.most_starts_within(30) == 8
    assert played.now - T0 == pytest.approx(1000 / 8 * 30, rel=0.02)


def test_after_a_restart_who_was_being_switched_begins_again() -> None:
    played = world([["hangs"], ["hangs"], ["installs"]], Pace(), 0, switched=True)
    played.play(steps=1)
    came = played.rollout.members[1].deployment
    played.seen[came] = replace(played.seen[came], state="active", heard=played.now)
    after = machine.interrupted(played.rollout, played.seen, played.now)
    assert [m.state for m in after.members] == ["waiting", "booting", "booting"]
    assert [m.tries for m in after.members] == [0, 1, 1]


def test_what_a_try_before_said_is_not_said_of_the_end() -> None:
    played = world([["hangs"], ["hangs", "installs"]], Pace(power_seconds=40), 1, switched=True)
    played.play(steps=10)
    tried = played.rollout.members
    assert all(m.tries == 2 and m.hint.startswith("ask its BMC") for m in tried)
    played.play(cancel_at=0)
    assert [(m.state, m.reason, m.hint) for m in played.rollout.members] == [
        ("cancelled", "the rollout was cancelled", ""),
        ("deployed", "deployed", ""),
    ]


def test_an_arming_that_another_operator_replaced_is_not_taken_back() -> None:
    played = world([["stays away"]], Pace(), 1, switched=True)
    played.play(steps=1)
    played.end(played.rollout.members[0].deployment, "disarmed")
    played.play()
    assert played.states() == ["failed"]
    assert len(played.starts) == 1
