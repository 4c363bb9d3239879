# SPDX-License-Identifier: GPL-2.0-or-later
"""What goes wrong in the middle of a rehearsal, and what the server has to know at its end."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from itertools import pairwise
from pathlib import Path

from swarmstrap.display import PREFIX, Display
from swarmstrap.wire import Event
from swarmstrap_server.control.nodes import STORY
from swarmstrap_server.control.store import Store
from swarmstrap_server.lab.machines import SERIAL_LOG
from swarmstrap_server.lab.progress import Progress
from swarmstrap_server.lab.serving import LabServer
from swarmstrap_server.lab.verdict import clean
from swarmstrap_server.site.paths import SitePaths

AWAY_SECONDS = 8.0
# Each node has a tighter limit of its own, which the machine's speed is in.
_SECONDS = 1500.0
_LOOK_SECONDS = 0.5
_FIRST_LINE = f"{PREFIX}look at the hardware"


class Outage:
    """While all nodes fetch, the server is killed and started again; then the node that has least
    loses its power, half of the image on its disk. `shares` are those of the first moment.
    """

    def __init__(self) -> None:
        self.shares: tuple[float, ...] = ()
        self.unplugged = ""

    async def __call__(self, server: LabServer, nodes: Sequence[Progress]) -> None:
        await until("all nodes fetch", lambda: min(map(share, nodes)) > 0.05)
        self.shares = tuple(map(share, nodes))
        await server.kill()
        await asyncio.sleep(AWAY_SECONDS)
        await server.start()
        back = time.time()
        victim = min(nodes, key=share)

        def half_written() -> bool:
            heard = victim.deployment.heard if victim.deployment else None
            return share(victim) > 0.5 and (heard or 0.0) > back

        await until(f"{victim.node.name} has half of the image", half_written)
        assert victim.guest is not None
        self.unplugged = victim.node.name
        victim.guest.cut_power()


def share(progress: Progress) -> float:
    """Of the image, as the server knows it: 0..1."""
    done = progress.deployment
    if done is None or done.phase != "image":
        return float(done is not None and done.fetched)
    return done.progress or 0.0


async def until(what: str, holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"waited {_SECONDS:.0f} s until {what}"
        await asyncio.sleep(_LOOK_SECONDS)


def check_events(paths: SitePaths, node: str) -> None:
    """The server has every event of the node's last installer, once and in order: a start and a
    finish of each part and each step, what the console says, and no gap but for progress.
    """
    events, steps = _kept(paths, node)
    sequences = [event.sequence for event in events]
    assert sequences == sorted(set(sequences))
    assert sequences[0] == 1
    for before, after in pairwise(events):
        # Of progress the server keeps the last only, and not as an event.
        assert after.sequence == before.sequence + 1 or before.name.startswith("do/image/")
    for kind in ("start", "finish"):
        names = [event.name for event in events if event.kind == kind]
        assert names[: len(STORY)] == list(STORY)
        numbers = [int(name.rpartition("/")[2]) for name in names[len(STORY) :]]
        assert numbers == list(range(1, steps + 1))
    display = Display()
    told = Counter(line for event in events for line in display.hear(event))
    said = Counter(_console(paths.root.parent / node / SERIAL_LOG))
    assert said - told == Counter()


def _kept(paths: SitePaths, node: str) -> tuple[list[Event], int]:
    """The events of the last boot that took the job, and how many steps its plan has."""
    with closing(Store(paths.database)) as store:
        deployment = store.last_arming(node)
        assert deployment is not None
        plan = store.plan(deployment.id)
        assert plan is not None
        events = [record.event for record in store.events(node, limit=100_000)]
    begun = max(number for number, event in enumerate(events) if event.name == "server/started")
    own = [event for event in events[begun:] if not event.name.startswith("server/")]
    return own, len(plan.lines)


def _console(log: Path) -> list[str]:
    """What the last installer said of its events, without times."""
    lines = [clean(line) for line in log.read_text(errors="replace").splitlines()]
    last = max(number for number, line in enumerate(lines) if line == _FIRST_LINE)
    said = (line for line in lines[last:] if line.startswith(PREFIX))
    return [line for line in said if " done in " not in line]
