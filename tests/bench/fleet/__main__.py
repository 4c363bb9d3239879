# SPDX-License-Identifier: GPL-2.0-or-later
"""How many nodes one core of a server holds.

    make bench-fleet NODES=250,500,1000
    build/venv/bin/python -m tests.bench.fleet --nodes 1000 --fetch 60 --boot 60

A real `swarmstrap serve` has one core, simulated nodes have the others. All nodes are armed, boot
within --boot seconds, fetch for --fetch seconds and say all that an agent says, over TLS; somebody
watches. Rows go to build/bench/fleet.json, by the number of nodes.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec
from tests.bench.fleet import server as servers
from tests.bench.fleet.load import Orders, Told
from tests.bench.processes import line, process
from tests.swarm.site import Server

from swarmstrap_server.site.paths import SitePaths
from swarmstrap_server.site.reading import read_site

OUT = Path("build/bench/fleet.json")
_MORE_SECONDS = 240.0
_SAMPLE_SECONDS = 5.0
_SOON_ENOUGH = 250.0  # milliseconds


@dataclass(frozen=True, slots=True)
class Row:
    """`ack` is from the first byte of a batch to the last of its answer, at the client, which was
    itself `client_late_p99_ms` late. Cores and memory are the server's without the seeder; `idle`
    is the machine's share that nobody used.
    """

    nodes: int
    ack_p50_ms: float
    ack_p99_ms: float
    events_per_second: float
    events_lost: int
    server_cpu_cores: float
    rss_mb: float
    events_doubled: int
    batches: int
    batches_per_second: float
    server_cpu_busiest: float
    register_p99_ms: float
    job_p99_ms: float
    announce_p99_ms: float
    client_late_p99_ms: float
    connections: int
    watched: int
    problems: int
    boot_seconds: float
    fetch_seconds: float
    seconds: float
    idle: float


@dataclass(slots=True)
class Meter:
    """Processor seconds of a process over time: in all, and in the busiest window."""

    pid: int
    busiest: float = 0.0

    async def run(self) -> None:
        before, at = servers.usage(self.pid).processor, time.monotonic()
        while True:
            await asyncio.sleep(_SAMPLE_SECONDS)
            now, then = servers.usage(self.pid).processor, time.monotonic()
            self.busiest = max(self.busiest, (now - before) / (then - at))
            before, at = now, then


async def measure(paths: SitePaths, server: Server, args: argparse.Namespace, nodes: int) -> Row:
    settings = read_site(paths.root).settings
    pid = server.pid
    out = paths.root / "told.json"
    orders = Orders(
        out=str(out),
        host=settings.address,
        node_port=settings.ports.node,
        boot_port=settings.ports.boot,
        ca=str(paths.ca_certificate),
        first=1,
        last=nodes,
        step=args.boot / nodes,
        fetch=args.fetch,
    )
    command = [sys.executable, "-m", "tests.bench.fleet.load"]
    others = ",".join(str(core) for core in os.sched_getaffinity(0) if core != args.core)
    meter, before, idle = Meter(pid), servers.usage(pid).processor, _idle()
    with servers.watched(paths) as seen:
        async with process(["taskset", "-c", others, *command]) as clients:
            assert clients.stdin is not None
            clients.stdin.write(msgspec.json.encode(orders) + b"\n")
            metering = asyncio.create_task(meter.run())
            longest = args.boot + args.fetch + _MORE_SECONDS
            await line(clients, longest, f"{nodes} nodes to be deployed")
            metering.cancel()
        told = msgspec.json.decode(out.read_bytes(), type=Told)
        used = servers.usage(pid)
        idle = (_idle() - idle) / told.seconds / (os.cpu_count() or 1)
    missing, doubled = servers.lost(paths, told.kept)
    for problem in told.problems[:5]:
        print(problem, file=sys.stderr)
    return Row(
        nodes=nodes,
        ack_p50_ms=_percentile(told.acknowledged, 50),
        ack_p99_ms=_percentile(told.acknowledged, 99),
        events_per_second=round(told.events / told.seconds, 1),
        events_lost=missing,
        server_cpu_cores=round((used.processor - before) / told.seconds, 3),
        rss_mb=round(used.most_memory / 1e6, 1),
        events_doubled=doubled,
        batches=len(told.acknowledged),
        batches_per_second=round(len(told.acknowledged) / told.seconds, 1),
        server_cpu_busiest=round(meter.busiest, 3),
        register_p99_ms=_percentile(told.registered, 99),
        job_p99_ms=_percentile(told.jobs, 99),
        announce_p99_ms=_percentile(told.announced, 99),
        client_late_p99_ms=_percentile(told.late, 99),
        connections=told.connections,
        watched=seen[0],
        problems=len(told.problems),
        boot_seconds=args.boot,
        fetch_seconds=args.fetch,
        seconds=round(told.seconds, 1),
        idle=round(idle, 3),
    )


def bench(args: argparse.Namespace) -> None:
    rows = {row["nodes"]: row for row in json.loads(OUT.read_text())} if OUT.exists() else {}
    for nodes in map(int, args.nodes.split(",")):
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fleet-")))
            paths = servers.make_fleet(folder, nodes)
            server = stack.enter_context(servers.on_one_core(paths, args.core))
            servers.arm(paths, nodes)
            row = asdict(asyncio.run(measure(paths, server, args, nodes)))
        rows[nodes] = row
        print(json.dumps(row), file=sys.stderr, flush=True)
        OUT.parent.mkdir(parents=True, exist_ok=True)
        OUT.write_text(json.dumps([rows[n] for n in sorted(rows)], indent=2) + "\n")


def table() -> list[str]:
    """As in docs/benchmarks.md."""
    lines = [
        "| nodes | acknowledged, median | p99 | events/s | lost | server's cores | at its busiest "
        "| memory | idle |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in json.loads(OUT.read_text()):
        lines.append(
            f"| {row['nodes']:,} | {row['ack_p50_ms']:.0f} ms | {row['ack_p99_ms']:.0f} ms "
            f"| {row['events_per_second']:.0f} | {row['events_lost']} "
            f"| {row['server_cpu_cores']:.2f} | {row['server_cpu_busiest']:.2f} "
            f"| {row['rss_mb']:.0f} MB | {row['idle']:.0%} |"
        )
    return lines


def _percentile(seconds: list[float], share: int) -> float:
    """In milliseconds."""
    if len(seconds) < 2:
        return round(1000 * sum(seconds), 1)
    return round(1000 * statistics.quantiles(seconds, n=100, method="inclusive")[share - 1], 1)


def _idle() -> float:
    """Processor seconds that nobody used since this machine started."""
    _, _, _, idle, waiting = Path("/proc/stat").read_text().split()[1:6]
    return (int(idle) + int(waiting)) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(prog="fleet", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--nodes", default="250,500,1000,2000,3000,4000", help="fleets, with commas"
    )
    parser.add_argument("--boot", type=float, default=60.0, help="seconds in which all boot")
    parser.add_argument("--fetch", type=float, default=60.0, help="seconds that an image takes")
    parser.add_argument("--core", type=int, default=0, help="the server's")
    bench(parser.parse_args())
    print("\n".join(table()))
    rows = json.loads(OUT.read_text())
    held = max((row["nodes"] for row in rows if row["ack_p99_ms"] < _SOON_ENOUGH), default=0)
    print(f"\nthe most with a p99 below {_SOON_ENOUGH:.0f} ms: {held} nodes")


if __name__ == "__main__":
    main()
