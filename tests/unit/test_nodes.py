# SPDX-License-Identifier: GPL-2.0-or-later
"""What becomes of a deployment, event by event; who a machine is."""

import pytest
from msgspec.structs import replace

from swarmstrap.errors import Refused
from swarmstrap.wire import Event
from swarmstrap_server.control import nodes
from swarmstrap_server.control.identity import (
    Directory,
    Known,
    Marks,
    identify,
    marks,
    name_for_unknown,
)
from swarmstrap_server.control.nodes import Deployment, after_event, node_state

ARMED = Deployment(
    id="d",
    node="n1",
    image="debian",
    version="1",
    infohash="00",
    payload=100,
    layout="default",
    finish="reboot",
    armed_at=0.0,
    until=60.0,
)
ACTIVE = nodes.started(ARMED, 10.0)


def event(text: str, sequence: int = 1) -> Event:
    """`kind name [result] [key=value]` as an event at the second `sequence`."""
    kind, name, *rest = text.split()
    values = dict(word.split("=") for word in rest if "=" in word)
    (result,) = [word for word in rest if "=" not in word] or [""]
    return Event(
        sequence=sequence,
        time=float(sequence),
        kind=kind,  # type: ignore[arg-type]
        name=name,
        result=result,  # type: ignore[arg-type]
        description=f"to {name}",
        progress=float(values["progress"]) if "progress" in values else None,
        from_seeder=int(values["seeder"]) if "seeder" in values else None,
        from_peers=int(values["peers"]) if "peers" in values else None,
    )


def after(*texts: str) -> Deployment:
    deployment = ACTIVE
    for sequence, text in enumerate(texts, start=1):
        deployment = after_event(deployment, event(text, sequence), 100.0)
    return deployment


@pytest.mark.parametrize(
    ("texts", "state", "phase"),
    [
        (["start look"], "active", "look"),
        (["start do/disks/1", "finish do/disks/1 success"], "active", "disks"),
        (["start do/image/4", "progress do/image/4 progress=0.5"], "active", "image"),
        (["start do/finish/9"], "active", "finish"),
        (["start do/finish/9", "finish do/finish/9 success"], "deployed", "finish"),
        (["start decide", "finish decide fail"], "failed", "decide"),
        (["start do/hooks/7", "finish do/hooks/7 fail"], "failed", "hooks"),
        (["start do/bootloader/7", "finish do/bootloader/7 warning"], "active", "bootloader"),
        # A retry: the job allowed it, and the node begins again.
        (["start do/image/4", "finish do/image/4 warning"], "active", "image"),
        (["finish do/image/4 warning", "start do/disks/1"], "active", "disks"),
        (["finish do/image/4 fail", "start do/disks/1"], "active", "disks"),
        (["start dry-run"], "active", "ask"),
        (["start say", "finish say success", "finish dry-run success"], "planned", "say"),
        # After the end nothing counts any more.
        (["finish do/finish/9 success", "finish do/hooks/7 fail"], "deployed", "finish"),
        (
            ["log do/hooks/7 warning", "start something-new", "start do/unheard-of/1"],
            "active",
            "ask",
        ),
    ],
)
def test_states(texts: list[str], state: str, phase: str) -> None:
    deployment = after(*texts)
    assert (deployment.state, deployment.phase) == (state, phase)
    assert (deployment.ended is not None) == (state != "active")


def test_seconds_add_up_by_phase_on_the_nodes_clock() -> None:
    deployment = after(
        "start do/disks/1",
        "finish do/disks/1 success",
        "start do/disks/2",
        "log do/disks/2",
        "finish do/disks/2 success",
        "start do/image/3",
    )
    assert deployment.phases == {"disks": 3.0}


def test_bytes_progress_and_the_moment_the_image_is_there() -> None:
    fetching = after("start do/image/1", "progress do/image/1 progress=0.25 seeder=10 peers=30")
    assert (fetching.progress, fetching.from_seeder, fetching.from_peers) == (0.25, 10, 30)
    assert not fetching.fetched
    assert after("start do/image/1", "finish do/image/1 success").fetched
    assert not after("start do/image/1", "finish do/image/1 warning").fetched


def test_an_event_counts_once_and_never_backwards() -> None:
    once = after_event(ACTIVE, event("finish do/disks/1 fail", 5), 1.0)
    assert after_event(once, event("start do/disks/1", 5), 2.0) is once
    assert after_event(once, event("start do/disks/1", 3), 2.0) is once


@pytest.mark.parametrize(
    ("in_site", "state", "expected"),
    [
        (True, None, "ready"),
        (False, None, "discovered"),
        (True, "armed", "armed"),
        (False, "active", "deploying"),
        (True, "deployed", "deployed"),
        (True, "failed", "failed"),
        (True, "planned", "planned"),
        (True, "expired", "ready"),
        (False, "disarmed", "discovered"),
    ],
)
def test_the_state_of_a_node(in_site: bool, state: str | None, expected: str) -> None:
    latest = None if state is None else replace(ARMED, state=state)
    assert node_state(in_site, latest) == expected


def test_an_arming_ends_in_time() -> None:
    assert nodes.expired(ARMED, 59.9) is None
    ended = nodes.expired(ARMED, 60.0)
    assert ended is not None
    assert ended.state == "expired"
    assert nodes.expired(ACTIVE, 1e9) is None


def test_silence_is_failure_after_a_while() -> None:
    assert nodes.silent(ACTIVE, 10.0 + nodes.SILENCE_SECONDS - 1) is None
    failed = nodes.silent(ACTIVE, 10.0 + nodes.SILENCE_SECONDS)
    assert failed is not None
    assert failed.hint


@pytest.mark.parametrize(
    ("phase", "state"), [("settle", "failed"), ("seed", "deployed"), ("finish", "deployed")]
)
def test_silence_of_a_complete_disk_is_no_failure(phase: str, state: str) -> None:
    ended = nodes.silent(replace(ACTIVE, phase=phase), 10.0 + nodes.SILENCE_SECONDS)
    assert ended is not None
    assert (ended.state, "disk was complete" in ended.reason) == (state, state == "deployed")


UUID = "4c4c4544-0042-3510-8053-b4c04f4b3132"
A, B = "52:54:00:00:00:0a", "52:54:00:00:00:0b"


@pytest.mark.parametrize(
    ("seen", "known", "fits"),
    [
        (marks("", [A]), marks("", [A, B]), True),
        (marks("", [A]), marks("", [B]), False),
        (marks(UUID, [A]), marks(UUID.upper(), []), True),
        (marks(UUID, [A]), marks(UUID, [A]), True),
        # What both have must agree: a MAC is easily copied, a board easily moved.
        (marks(UUID, [A]), marks(UUID, [B]), False),
        (marks(UUID, [A]), marks(UUID.replace("4", "5"), [A]), False),
        # A UUID that says nothing is none.
        (marks("00000000-0000-0000-0000-000000000000", [A]), marks(UUID, [A]), True),
        (marks("03000200-0400-0500-0006-000700080009", [A]), marks("", [B]), False),
        (marks("", []), marks("", []), False),
        (marks("", [], "cz1"), marks("", [], "CZ1 "), True),
        (marks("", [A], "CZ1"), marks("", [], "CZ1"), True),
        (marks("", [A], "CZ1"), marks("", [A], "CZ2"), False),
        (marks("", [], "To Be Filled By O.E.M."), marks("", [], "To be filled by O.E.M."), False),
        (marks("", [], "0000000"), marks("", [], "0000000"), False),
        (marks("", [A], "Default string"), marks("", [A], "CZ1"), True),
        (marks("", ["52-54-00-00-00-0A"]), marks("", [A]), True),
    ],
)
def test_marks_that_fit(seen: Marks, known: Marks, fits: bool) -> None:
    assert (identify(seen, [Known("n", known)]) == "n") == fits


def test_two_nodes_that_fit_are_none() -> None:
    known = [Known("n1", marks("", [A])), Known("n2", marks("", [B]))]
    with pytest.raises(Refused, match="fits 2 nodes: n1, n2"):
        identify(marks("", [A, B]), known)


def test_a_stranger_is_called_by_the_mac_it_booted_from() -> None:
    assert name_for_unknown(marks("", [A, B]), B.upper()) == "node-52540000000b"
    assert name_for_unknown(marks("", [B, A]), "") == "node-52540000000a"


def test_a_directory_finds_whom_a_look_at_all_would_find() -> None:
    known = [
        Known("n1", marks("", ["52:54:00:00:00:01"])),
        Known("n2", marks("4c4c4544-0042-3510-8053-b4c04f4b3132", [])),
        Known("n3", marks("", [], "S3")),
        Known("n4", marks("", ["52:54:00:00:00:04"], "S4")),
    ]
    directory = Directory(known)
    for seen in (
        marks("", ["52:54:00:00:00:01", "52:54:00:ff:00:01"]),
        marks("4c4c4544-0042-3510-8053-b4c04f4b3132", ["52:54:00:00:00:09"]),
        marks("", [], "s3"),
        marks("", ["52:54:00:00:00:04"], "S5"),
        marks("", ["52:54:00:00:00:07"]),
    ):
        assert directory.identify(seen) == identify(seen, known)
    with pytest.raises(Refused, match="fits 2 nodes: n1, n3"):
        directory.identify(marks("", ["52:54:00:00:00:01"], "S3"))
