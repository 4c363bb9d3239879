# SPDX-License-Identifier: GPL-2.0-or-later
"""`swarmstrap serve` as a process: ready, stopped, and refused in one line."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tests.http.conftest import ADDRESS, register

from swarmstrap.effects.http import NodeApi
from swarmstrap.reporter import Reporter
from swarmstrap_server.control.client import Operator
from swarmstrap_server.control.operator_wire import Arm
from swarmstrap_server.control.store import Store
from swarmstrap_server.site.paths import SitePaths
from swarmstrap_server.site.reading import read_site

SECONDS = 30.0


def command(site: SitePaths) -> list[str]:
    return [sys.executable, "-m", "swarmstrap_server.cli", "--site", str(site.root), "serve"]


@contextmanager
def serving(site: SitePaths, **environment: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        command(site),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def refused(site: SitePaths) -> str:
    """The one line with which `serve` ends at once."""
    ended = subprocess.run(command(site), capture_output=True, text=True, timeout=SECONDS)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.count("\n") == 1
    return ended.stderr


def ready(process: subprocess.Popen[str]) -> list[str]:
    """What it says once it answers."""
    assert process.stdout is not None
    return process.stdout.readline().split()


def test_it_says_when_it_is_ready_and_stops_when_asked(site: SitePaths) -> None:
    with serving(site) as process:
        said = ready(process)
        assert said[0] == "ready"
        assert said[-1] == f"operator={read_site(site.root).operator_url}"
        assert Operator(site.socket).status().site == "test"
        assert "a server runs already for" in refused(site)
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 0
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()


def test_a_port_that_is_taken(site: SitePaths) -> None:
    port = read_site(site.root).settings.ports.node
    with socket.create_server((ADDRESS, port)):
        line = refused(site)
    assert f"cannot listen on {ADDRESS} port {port}: Address already in use" in line


def test_a_certificate_for_another_address(site: SitePaths) -> None:
    text = site.settings.read_text().replace(f"address: {ADDRESS}", "address: 127.0.0.2")
    site.settings.write_text(text)
    assert "server.crt is not for 127.0.0.2 (run swarmstrap init again" in refused(site)


def test_no_site(site: SitePaths) -> None:
    nowhere = SitePaths(site.root / "nowhere")
    assert "is not a site folder (make one with swarmstrap init," in refused(nowhere)


@contextmanager
def manager(folder: Path) -> Iterator[socket.socket]:
    """Where systemd listens to a service."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(folder / "notify"))
        listening.settimeout(SECONDS)
        yield listening


def told(listening: socket.socket) -> str:
    """What comes next but that it lives."""
    while (state := listening.recv(4096).decode()) == "WATCHDOG=1":
        pass
    return state


def test_systemd_is_told_what_goes_on(site: SitePaths, tmp_path: Path) -> None:
    nodes = site.root / "nodes" / "lab.yaml"
    good = nodes.read_text()
    with manager(tmp_path) as systemd, serving(site, NOTIFY_SOCKET=str(tmp_path / "notify")) as it:
        assert told(systemd) == "READY=1\nSTATUS=serving test"
        assert systemd.recv(4096) == b"WATCHDOG=1"

        nodes.write_text("nodes: [{nam: n1}]\n")
        it.send_signal(signal.SIGHUP)
        assert told(systemd).startswith("RELOADING=1\nMONOTONIC_USEC=")
        assert "the site stays as it was: nodes/lab.yaml" in told(systemd)
        assert "n1" in names(site)

        nodes.write_text(good.replace("name: n1", "name: new"))
        it.send_signal(signal.SIGHUP)
        assert told(systemd).startswith("RELOADING=1\n")
        assert told(systemd) == "READY=1\nSTATUS=serving test"
        assert {"new"} == names(site) - {"n2", "n3"}

        it.send_signal(signal.SIGTERM)
        assert told(systemd) == "STOPPING=1\nSTATUS=stopping"
        assert it.wait(SECONDS) == 0


def names(site: SitePaths) -> set[str]:
    return {view.name for view in Operator(site.socket).nodes()}


async def test_a_restart_loses_no_event_and_ends_every_stream(site: SitePaths) -> None:
    operator, read = Operator(site.socket), read_site(site.root)
    report = Reporter()
    async with NodeApi(read.node_url, site.ca_certificate, retrying=lambda *_: None) as api:
        with serving(site) as first:
            await asyncio.to_thread(ready, first)
            await asyncio.to_thread(operator.arm, Arm(nodes=("n1",), image="tiny"))
            await api.job((await api.register(register(), patience=0)).token, patience=0)
            report.connect(api.send)
            streaming = asyncio.create_task(asyncio.to_thread(list, operator.stream()))
            await tell(report, 15)
            first.send_signal(signal.SIGTERM)
            await tell(report, 15)
            assert await asyncio.to_thread(first.wait, SECONDS) == 0
            assert len(await asyncio.wait_for(streaming, SECONDS)) > 1
        with serving(site) as second:
            await asyncio.to_thread(ready, second)
            await tell(report, 15)
            assert await report.flush(SECONDS)
    await report.close()
    with closing(Store(site.database)) as store:
        kept = [record.event for record in store.events("n1")]
    own = [event.sequence for event in kept if not event.name.startswith("server/")]
    assert own == list(range(1, 46))


async def tell(report: Reporter, count: int) -> None:
    """So many events, in a little more than a second."""
    for _ in range(count):
        report.start("do/disks/1", "do something")
        await asyncio.sleep(0.1)
