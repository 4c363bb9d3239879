# SPDX-License-Identifier: GPL-2.0-or-later
"""What `swarmstrap why` says of nodes in each state."""

import time

import pytest
from msgspec.structs import replace
from tests.unit.making import node_view
from tests.unit.test_rollouts import T0, armed, rollout

from swarmstrap.wire import Event
from swarmstrap_server.control.nodes import State
from swarmstrap_server.control.operator_wire import Arm, NodeView, Record
from swarmstrap_server.rollouts.values import Order, Pace, Reservation, Rollout
from swarmstrap_server.rollouts.why import why

ARMED = replace(armed("d1", "n0", T0), by="eve")
ORDER = Order(arm=Arm(nodes=("n0",), image="debian"))
LENT = Reservation(
    id="l",
    by="bob",
    nodes=("n0",),
    order=ORDER,
    rollout="r",
    begins=T0 - 10,
    until=T0 + 3600,
    left=("n0",),
)
UNTIL = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(T0 + 3600))
DEPLOYING = replace(ARMED, state="active", started=T0 + 60, heard=T0 + 70, phase="image", begun=2)
FAILED = replace(DEPLOYING, state="failed", ended=T0 + 80, reason="no disk", hint="add one")


def view(state: State) -> NodeView:
    deployment = {"armed": ARMED, "deploying": DEPLOYING, "failed": FAILED}.get(state)
    return node_view("n0", state, deployment)


def said(name: str, text: str, at: float, *, fails: bool = False) -> Record:
    event = Event(
        sequence=0,
        time=at,
        kind="log",
        name=name,
        description=text,
        result="fail" if fails else "",
    )
    return Record(id=1, received=at, node="n0", event=event)


@pytest.mark.parametrize(
    ("state", "switched", "to_do"),
    [
        ("discovered", True, "name it: swarmstrap node name n0 NAME"),
        ("ready", True, "nothing; swarmstrap deploy IMAGE --to n0"),
        ("armed", True, "wait; swarmstrap power status n0 asks its BMC"),
        ("armed", False, "start it, from the network"),
        ("deploying", True, "wait; its console shows what it does"),
        ("failed", True, "add one"),
        ("deployed", True, "nothing"),
    ],
)
def test_what_to_do(state: State, switched: bool, to_do: str) -> None:
    told = why(view(state), rollout(1, Pace(), switched=switched), None, [], T0 + 90)
    assert told.to_do.startswith(to_do)


def test_what_happened_is_in_order_and_said_once() -> None:
    begun = rollout(1, Pace())
    tried = replace(
        begun, by="ann", members=(replace(begun.members[0], tries=2, state="deploying"),)
    )
    events = [
        said("server/armed", "armed for debian:1", T0),
        said("server/power", "switched on by ipmi", T0 + 10),
        said("do/disks/1", "no disk", T0 + 80, fails=True),
    ]
    told = why(view("failed"), tried, LENT, events, T0 + 90)
    assert [line.split("  ")[1] for line in told.happened] == [
        f"reserved by bob until {UNTIL}",
        "rollout r: debian:1 to 1 node, by ann",
        "deploying, try number 2",
        "armed for debian:1, by eve",
        "switched on by ipmi",
        "took its job, its boot number 2",
        "failed in phase image: no disk",
    ]


def test_a_node_at_work_says_when_it_was_heard() -> None:
    told = why(view("deploying"), None, None, [], T0 + 90)
    assert told.state == "deploying debian:1, phase image, last heard 20 s ago"


def test_a_machine_that_was_merely_seen_has_registered() -> None:
    told = why(replace(view("discovered"), seen=T0), None, None, [], T0 + 90)
    assert [line.split("  ")[1] for line in told.happened] == ["registered"]


def test_a_node_that_was_given_up_says_what_its_rollout_found() -> None:
    begun: Rollout = rollout(1, Pace())
    given_up = replace(
        begun.members[0], state="failed", reason="not heard of", hint="look at its console"
    )
    told = why(view("ready"), replace(begun, members=(given_up,)), None, [], T0)
    assert told.to_do == "look at its console"
