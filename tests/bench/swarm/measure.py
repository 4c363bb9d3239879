# SPDX-License-Identifier: GPL-2.0-or-later
"""One run: the server's processes started, the nodes ready, a common start, everybody's end."""

import asyncio
import filecmp
import os
import resource
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.bench.links import Machine
from tests.bench.processes import line, process
from tests.bench.swarm.rows import Run, Setting
from tests.bench.swarm.systems import SWARMSTRAP, Service, Stage, System

from swarmstrap_server.control.client import Operator

LOG = Path("build/bench/swarm.log")
_READY_SECONDS = 120.0
# Of the expected time, and so many seconds more.
_SLOWEST, _MORE_SECONDS = 4.0, 60.0
# The seeder reports once a second.
_ASK_SECONDS = 1.5
_POLL_SECONDS = 0.1
_WRITTEN_SECONDS = 15.0
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Manners:
    """How a node behaves: begins so many seconds `late`, `leaves` when it has everything, or does
    not run for `stopped` of every second.
    """

    late: float = 0.0
    leaves: bool = False
    stopped: float = 0.0


async def measure(
    system: System, setting: Setting, stage: Stage, manners: Sequence[Manners]
) -> Run:
    """A node for each of the manners. Raises TimeoutError or RuntimeError that names what did not
    come; stderr of all processes is in LOG.
    """
    before = _children_seconds()
    async with AsyncExitStack() as stack:
        LOG.parent.mkdir(parents=True, exist_ok=True)
        log = stack.enter_context(LOG.open("wb"))
        for service in system.services(stage):
            await stack.enter_async_context(_serving(service, log))
        nodes = []
        for number, manner in enumerate(manners, 1):
            folder = stage.folder / f"node{number}"
            folder.mkdir()
            stack.callback(shutil.rmtree, folder)
            command = system.node(stage, number, folder) + (("leave",) if manner.leaves else ())
            machine = stage.network.machines[number]
            nodes.append(await stack.enter_async_context(process(machine.command(*command), log)))
        for node in nodes:
            await line(node, _READY_SECONDS, f"a node of {system.name} to be ready")
        idle, sent, crossed = _idle(), stage.server.sent(), stage.network.uplinks_carried()
        started = asyncio.get_running_loop().time()
        longest = _SLOWEST * setting.bound * system.expected(setting.n) + _MORE_SECONDS
        seconds = await _all_ends(system, nodes, manners, longest)
        took = asyncio.get_running_loop().time() - started
        idle = (_idle() - idle) / took / (os.cpu_count() or 1)
        sent = stage.server.sent() - sent
        into, out = stage.network.uplinks_carried()
        crossed = into - crossed[0], out - crossed[1]
        uploaded = None
        if system.name == SWARMSTRAP:
            uploaded = await _uploaded(Operator(stage.payload.site.socket))
        await _compare(system, stage, len(nodes))
    return Run(
        setting=setting,
        seconds=tuple(seconds),
        server_bytes=sent,
        server_payload_bytes=uploaded,
        payload_bytes=stage.payload.size,
        cpu_idle=idle,
        cpu_seconds=_children_seconds() - before,
        uplink_bytes=crossed,
    )


async def _all_ends(
    system: System,
    nodes: Sequence[asyncio.subprocess.Process],
    manners: Sequence[Manners],
    longest: float,
) -> list[float]:
    """Seconds of each node since it was told to begin."""
    try:
        async with asyncio.TaskGroup() as tasks:
            ends = [
                tasks.create_task(_end(system, node, manner, longest))
                for node, manner in zip(nodes, manners, strict=True)
            ]
    except ExceptionGroup as group:
        raise group.exceptions[0] from group
    return [end.result() for end in ends]


async def _end(
    system: System, node: asyncio.subprocess.Process, manner: Manners, longest: float
) -> float:
    assert node.stdin is not None
    await asyncio.sleep(manner.late)
    loop = asyncio.get_running_loop()
    begun = loop.time()
    node.stdin.write(b"\n")
    async with _halting(node, manner.stopped):
        if system.done:
            while system.done not in await line(node, longest, f"a node of {system.name} to end"):
                pass
        else:
            status = await asyncio.wait_for(node.wait(), longest)
            if status:
                raise RuntimeError(f"a node of {system.name} ended with {status}, see {LOG}")
    return loop.time() - begun


@asynccontextmanager
async def _halting(node: asyncio.subprocess.Process, share: float) -> AsyncIterator[None]:
    """Meanwhile the process is stopped for that share of every second."""

    async def halt() -> None:
        while True:
            node.send_signal(signal.SIGSTOP)
            await asyncio.sleep(share)
            node.send_signal(signal.SIGCONT)
            await asyncio.sleep(1 - share)

    task = asyncio.create_task(halt()) if share else None
    try:
        yield
    finally:
        if task is not None:
            task.cancel()
            node.send_signal(signal.SIGCONT)


@asynccontextmanager
async def _serving(service: Service, log: IO[bytes]) -> AsyncIterator[None]:
    async with process(service.machine.command(*service.command), log) as running:
        deadline = asyncio.get_running_loop().time() + _READY_SECONDS
        for port in service.ports:
            while not _bound(service.machine, port):
                if running.returncode is not None:
                    raise RuntimeError(f"{service.command[0]} ended, see {LOG}")
                if asyncio.get_running_loop().time() > deadline:
                    raise TimeoutError(f"nothing is bound to port {port}, see {LOG}")
                await asyncio.sleep(_POLL_SECONDS)
        yield


def _bound(machine: Machine, port: int) -> bool:
    command = machine.command("ss", "-Hlntu", "sport", "=", f":{port}")
    return bool(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


async def _uploaded(operator: Operator) -> int:
    """What the server's seeders sent, once two of their reports are the same."""
    before = -1
    async with asyncio.timeout(_READY_SECONDS):
        while True:
            uploaded = (await asyncio.to_thread(operator.status)).seeder_uploaded
            if uploaded == before:
                return uploaded
            before = uploaded
            await asyncio.sleep(_ASK_SECONDS)


async def _compare(system: System, stage: Stage, nodes: int) -> None:
    """libtorrent says that it has everything some time before it is in the file."""
    name, original = system.got(stage.payload)
    deadline = asyncio.get_running_loop().time() + _WRITTEN_SECONDS
    for number in range(1, nodes + 1):
        got = stage.folder / f"node{number}" / name
        while not filecmp.cmp(got, original, shallow=False):
            if asyncio.get_running_loop().time() > deadline:
                raise RuntimeError(f"{got}, from {system.name}, is not {original}")
            await asyncio.sleep(_POLL_SECONDS)
            filecmp.clear_cache()


def _idle() -> float:
    """Processor seconds since this machine started that nobody used, or only programs that gave
    way to everybody else (nice).
    """
    _, gave_way, _, idle, waiting = Path("/proc/stat").read_text().split()[1:6]
    return (int(gave_way) + int(idle) + int(waiting)) / _TICKS


def _children_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
