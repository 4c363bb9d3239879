# SPDX-License-Identifier: GPL-2.0-or-later
"""The way of each node through its deployment: where it is follows from the time alone."""

import random
from collections.abc import Iterator
from dataclasses import dataclass

from msgspec.structs import replace

from swarmstrap.units import GiB, MiB
from swarmstrap.wire import Usage
from swarmstrap_server.control.nodes import Deployment

PAYLOAD = 14 * GiB
# Bytes a second: 10 Gbit/s of the server, 1 Gbit/s of a node.
UPLINK = 1_250_000_000
LINK = 125_000_000
_FAILURES = (
    (
        "disks",
        "no disk matches {tran: nvme, size: '>= 500GiB'}",
        "the table on the node's console says what rejected each disk; see swarmstrap plan",
    ),
    (
        "image",
        "/dev/nvme0n1: cannot write 8 MiB at 41.2 GiB: Input/output error",
        "replace the disk, then swarmstrap deploy to this node again",
    ),
    ("hooks", "hook 20-monitoring ended with status 1: cannot resolve puppet.example", ""),
)


@dataclass(frozen=True)
class Course:
    """One node's way: seconds after the order at which it takes its job, and in each phase."""

    begins: float
    phases: tuple[tuple[str, float], ...]
    fails: tuple[str, str, str] | None
    stops: float | None

    def at(self, armed: Deployment, seconds: float) -> Deployment:
        """The deployment so many `seconds` after its order."""
        spent = seconds - self.begins
        if spent < 0:
            return armed
        began = armed.armed_at + self.begins
        if self.stops is not None:
            spent = min(spent, self.stops)
        active = replace(
            armed, state="active", started=began, uplink=UPLINK, heard=began + spent, sequence=0
        )
        done: dict[str, float] = {}
        for name, takes in self.phases:
            part = min(1.0, spent / takes)
            active = replace(active, phase=name, progress=None)
            if name == "image":
                active = _fetched(active, part, takes)
            if self.fails and name == self.fails[0] and part > 0.4:
                ended = began + sum(done.values()) + 0.4 * takes
                return _failed(replace(active, phases=done), self.fails, ended)
            if part < 1.0:
                return replace(active, phases=done, step_began=0.0)
            done = {**done, name: takes}
            spent -= takes
        ended = began + sum(done.values())
        return replace(active, phases=done, state="deployed", ended=ended, heard=ended)


def courses(nodes: int, seed: int = 7) -> Iterator[Course]:
    """They start in windows, rack after rack, as power allows."""
    chance = random.Random(seed)
    for number in range(nodes):
        slow = 2.6 if chance.random() < 0.03 else 1.0
        fetch = 150 * slow * chance.uniform(0.85, 1.25)
        phases = (
            ("look", chance.uniform(2, 4)),
            ("ask", 0.6),
            ("decide", 0.2),
            ("say", 0.3),
            ("disks", chance.uniform(6, 14)),
            ("image", fetch),
            ("configure", chance.uniform(2, 5)),
            ("hooks", chance.uniform(3, 25)),
            ("bootloader", chance.uniform(6, 12)),
            ("settle", chance.uniform(1, 3)),
            ("seed", chance.uniform(5, 60)),
            ("finish", 0.5),
        )
        yield Course(
            begins=number * 0.33 + chance.uniform(0, 12),
            phases=phases,
            fails=chance.choice(_FAILURES) if chance.random() < 0.018 else None,
            stops=chance.uniform(60, 120) if chance.random() < 0.006 else None,
        )


def _fetched(deployment: Deployment, part: float, takes: float) -> Deployment:
    got = int(PAYLOAD * part)
    seeder = int(got * 0.0016)
    seconds = max(0.1, takes * part)
    usage = Usage(
        seconds=seconds,
        link_rate=LINK,
        best_rate=118 * MiB,
        cores=32,
        processor=seconds * 2.2,
        own=seconds * 1.7,
        thread=seconds * 0.31,
        disk=seconds * 0.52,
        disk_wait=seconds * 0.05,
    )
    return replace(
        deployment,
        progress=part,
        fetched=part >= 1.0,
        from_seeder=seeder,
        from_peers=max(0, got - seeder),
        usage=usage,
        began=(deployment.started or 0.0) + 12.0,
    )


def _failed(deployment: Deployment, why: tuple[str, str, str], ended: float) -> Deployment:
    _, reason, hint = why
    return replace(deployment, state="failed", ended=ended, heard=ended, reason=reason, hint=hint)
