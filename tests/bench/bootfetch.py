# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernel and initramfs for N nodes: from the server alone, or passed on by those that booted.

`swarmstrap serve` and N firmwares, each in a network namespace with a link of 100 Mbit/s each way,
all switched on at once. The bound is one copy of both files through one such link. A node that has
them "starts its kernel" for some seconds, and is an agent then, with the agent's own code.

    make bench-boot
    build/venv/bin/python -m tests.bench.bootfetch --nodes 16 --ways peers
"""

import argparse
import asyncio
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

from tests.bench.links import Machine, machines
from tests.bench.processes import line, process

from swarmstrap_server.control.client import Operator
from swarmstrap_server.control.operator_wire import Arm
from swarmstrap_server.images.library import ImageStore
from swarmstrap_server.images.publish import publish
from swarmstrap_server.images.signing import Key
from swarmstrap_server.images.sources.directory import Directory
from swarmstrap_server.site import making
from swarmstrap_server.site.paths import SitePaths

Way = Literal["server", "peers"]

RATE = 100_000_000  # bit/s
KERNEL, INITRAMFS = 8_250_000, 56_830_000  # bytes, as `swarmstrap initramfs` makes them
PAYLOAD = KERNEL + INITRAMFS
NODES = (1, 2, 4, 8, 16)
# From the last byte to the agent: 9 to 14 s were measured in virtual nodes, without firmware.
BOOT_SECONDS = 10.0
# What the server's link carries while a node starts, as docs/booting.md advises.
COPIES = 2
RESULT = Path("build/bench/bootfetch.json")
_READY_SECONDS = 120.0
_SLOWEST = 3.0
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Row:
    """Seconds since all nodes were switched on, until the first, the middle and the last had both
    files; bytes as the server's link counted them; `server_cpu` in processor seconds.
    """

    system: Way
    n: int
    seconds_first: float
    seconds_median: float
    seconds_last: float
    bound_seconds: float
    ratio: float
    server_bytes: int
    payload_bytes: int
    server_cpu: float
    cpu_idle: float


def main() -> int:
    parser = argparse.ArgumentParser(prog="bootfetch", description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=int, nargs="*", default=NODES)
    parser.add_argument("--ways", choices=get_args(Way), nargs="*", default=get_args(Way))
    parser.add_argument("--rounds", type=int, default=1)
    arguments = parser.parse_args()
    runs = [(way, n) for way in arguments.ways for n in arguments.nodes] * arguments.rounds
    rows = bench(runs)
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")
    print("\n".join(table(rows)))
    return 0


def bench(runs: Sequence[tuple[Way, int]]) -> list[Row]:
    rows = []
    with (
        tempfile.TemporaryDirectory(prefix="swarmstrap-bench-", dir="/dev/shm") as name,
        machines(1 + max(n for _, n in runs), RATE) as (server, *nodes),
    ):
        site = _site(Path(name), server, len(nodes))
        for way, n in runs:
            row = asyncio.run(_run(way, site, server, nodes[:n], Path(name) / "nodes"))
            print(f"{way}, {n} nodes: {row.ratio:.2f} of the bound", file=sys.stderr, flush=True)
            rows.append(row)
    return rows


def table(rows: Sequence[Row]) -> Iterator[str]:
    yield "| way | nodes | first, median, last (s) | last / bound | copies | CPU (s) | idle |"
    yield "|---|---|---|---|---|---|---|"
    for row in rows:
        yield (
            f"| {row.system} | {row.n} | {row.seconds_first:.1f}, {row.seconds_median:.1f}, "
            f"{row.seconds_last:.1f} | {row.ratio:.2f} | {row.server_bytes / PAYLOAD:.2f} "
            f"| {row.server_cpu:.2f} | {row.cpu_idle:.0%} |"
        )


def _site(folder: Path, server: Machine, nodes: int) -> SitePaths:
    """A site that knows the nodes, with boot files of the real size and the smallest of images."""
    tree = folder / "tree"
    (tree / "bin").mkdir(parents=True)
    shutil.copy("/bin/true", tree / "bin/sh")
    making.init(folder / "site", "bench", [str(server.address)], None)
    paths = SitePaths(folder / "site")
    publish(Directory(tree), "bench", "1", ImageStore(paths.images), Key(paths.publisher), strip=())
    paths.boot.mkdir(exist_ok=True)
    paths.kernel.write_bytes(os.urandom(KERNEL))
    paths.initramfs.write_bytes(os.urandom(INITRAMFS))
    known = (f"- {{name: {_name(n)}, mac: {_mac(n)}}}\n" for n in range(1, nodes + 1))
    (paths.root / "nodes" / "bench.yaml").write_text("nodes:\n" + "".join(known))
    return paths


async def _run(
    way: Way, site: SitePaths, server: Machine, nodes: Sequence[Machine], folder: Path
) -> Row:
    site.database.unlink(missing_ok=True)
    peers = f"{{boot_peers: {'unchecked' if way == 'peers' else 'off'}, boot_copies: {COPIES}}}"
    site.settings.write_text(f"name: bench\naddress: {server.address}\nswarm: {peers}\n")
    bound = PAYLOAD * 8 / RATE
    async with AsyncExitStack() as stack:
        serve = ("-m", "swarmstrap_server.cli", "--site", str(site.root), "serve")
        serving = await stack.enter_async_context(process(server.command(sys.executable, *serve)))
        await line(serving, _READY_SECONDS, "the server to be ready")
        names = tuple(_name(n) for n in range(1, len(nodes) + 1))
        await asyncio.to_thread(Operator(site.socket).arm, Arm(nodes=names, image="bench"))
        waiting = []
        for number, node in enumerate(nodes, 1):
            own = folder / node.netns
            stack.callback(shutil.rmtree, own, ignore_errors=True)
            command = node.command(sys.executable, *_words(number, site, server, node, own))
            waiting.append(await stack.enter_async_context(process(command)))
        for running in waiting:
            await line(running, _READY_SECONDS, "a node to be ready")
        before, idle, sent = _processor_seconds(serving.pid), _idle_seconds(), server.sent()
        started = time.monotonic()
        for running in waiting:
            assert running.stdin is not None
            running.stdin.write(b"\n")
        longest = _SLOWEST * bound * (1 + len(nodes)) + _READY_SECONDS
        ends = [float(await line(running, longest, "a node's boot files")) for running in waiting]
        seconds = sorted(end - started for end in ends)
        idle = (_idle_seconds() - idle) / seconds[-1] / (os.cpu_count() or 1)
        return Row(
            system=way,
            n=len(nodes),
            seconds_first=seconds[0],
            seconds_median=statistics.median(seconds),
            seconds_last=seconds[-1],
            bound_seconds=bound,
            ratio=seconds[-1] / bound,
            server_bytes=server.sent() - sent,
            payload_bytes=PAYLOAD,
            server_cpu=_processor_seconds(serving.pid) - before,
            cpu_idle=idle,
        )


def _words(
    number: int, site: SitePaths, server: Machine, node: Machine, folder: Path
) -> tuple[str, ...]:
    folder.parent.mkdir(exist_ok=True)
    urls = (f"http://{server.address}:8080", f"https://{server.address}:8443")
    who = ("-m", "tests.bench.firmware", _mac(number), str(node.address))
    return *who, *urls, str(site.ca_certificate), str(folder), str(BOOT_SECONDS)


def _name(number: int) -> str:
    return f"n{number}"


def _mac(number: int) -> str:
    return f"52:54:00:00:00:{number:02x}"


def _processor_seconds(pid: int) -> float:
    """User and system time of one process so far: fields 14 and 15 of proc(5)'s stat."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _idle_seconds() -> float:
    """Of all processors together."""
    return int(Path("/proc/stat").read_text().split(None, 5)[4]) / _TICKS


if __name__ == "__main__":
    sys.exit(main())
