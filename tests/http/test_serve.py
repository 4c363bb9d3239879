# SPDX-License-Identifier: GPL-2.0-or-later
"""`swarmstrap serve` as a process: ready, stopped, and refused in one line."""

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.http.conftest import ADDRESS

from swarmstrap_server.control.client import Operator
from swarmstrap_server.site.paths import SitePaths
from swarmstrap_server.site.reading import read_site

SECONDS = 30.0


def command(site: SitePaths) -> list[str]:
    return [sys.executable, "-m", "swarmstrap_server.cli", "--site", str(site.root), "serve"]


@contextmanager
def serving(site: SitePaths) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        command(site), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
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


def test_it_says_when_it_is_ready_and_stops_when_asked(site: SitePaths) -> None:
    with serving(site) as process:
        assert process.stdout is not None
        ready = process.stdout.readline().split()
        assert ready[0] == "ready"
        assert ready[-1] == f"operator={read_site(site.root).operator_url}"
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
    assert "is not a site folder (make one with swarmstrap init)" in refused(nowhere)
