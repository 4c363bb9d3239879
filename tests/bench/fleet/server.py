# SPDX-License-Identifier: GPL-2.0-or-later
"""`swarmstrap serve` with a site of N nodes, on one core; what it takes is read from /proc."""

import contextlib
import os
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
from tests.bench.fleet.load import mac_of, name_of
from tests.swarm.site import Server, make_site, serving

from swarmstrap.errors import Unreachable
from swarmstrap.wire import Event
from swarmstrap_server.control.client import Operator
from swarmstrap_server.control.operator_wire import Arm
from swarmstrap_server.site.paths import SitePaths

ADDRESS = "127.0.0.1"
_PAYLOAD = 4_000_000
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """Of one process: seconds on a processor, and bytes in memory, at most so far."""

    processor: float
    most_memory: int


def usage(pid: int) -> Usage:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    status = Path(f"/proc/{pid}/status").read_text()
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return Usage((int(fields[11]) + int(fields[12])) / _TICKS, int(peak.split()[1]) * 1024)


def make_fleet(folder: Path, nodes: int) -> SitePaths:
    """A site whose every node is in a node file, with an image that is as small as can be."""
    paths, _ = make_site(folder, ADDRESS, _PAYLOAD, 0)
    lines = [f"- {{name: {name_of(n)}, mac: '{mac_of(n)}'}}" for n in range(1, nodes + 1)]
    (paths.root / "nodes" / "fleet.yaml").write_text("\n".join(["nodes:", *lines, ""]))
    paths.kernel.write_bytes(b"kernel")
    paths.initramfs.write_bytes(b"initramfs")
    return paths


@contextlib.contextmanager
def on_one_core(paths: SitePaths, core: int) -> Iterator[Server]:
    with serving(paths, ("taskset", "-c", str(core))) as server:
        yield server


def arm(paths: SitePaths, nodes: int) -> None:
    names = tuple(name_of(number) for number in range(1, nodes + 1))
    Operator(paths.socket).arm(Arm(nodes=names, image="image", minutes=60))


@contextlib.contextmanager
def watched(paths: SitePaths) -> Iterator[list[int]]:
    """Somebody looks at the dashboard's stream meanwhile; one number, of the messages it had."""
    seen = [0]

    def look() -> None:
        with contextlib.suppress(Unreachable, OSError, msgspec.DecodeError):
            for _ in Operator(paths.socket).stream():
                seen[0] += 1

    threading.Thread(target=look, daemon=True).start()
    yield seen


def lost(paths: SitePaths, kept: dict[str, int]) -> tuple[int, int]:
    """How many events of nodes the store does not have, and how many it has twice."""
    with contextlib.closing(sqlite3.connect(paths.database)) as database:
        rows: Sequence[tuple[str, bytes]] = database.execute(
            "SELECT node, body FROM events"
        ).fetchall()
    seen: dict[str, Counter[int]] = {}
    for node, body in rows:
        sequence = msgspec.json.decode(body, type=Event).sequence
        if sequence:  # what the server itself says has none
            seen.setdefault(node, Counter())[sequence] += 1
    missing = sum(max(0, count - len(seen.get(node, ()))) for node, count in kept.items())
    doubled = sum(count - 1 for counter in seen.values() for count in counter.values())
    return missing, doubled
