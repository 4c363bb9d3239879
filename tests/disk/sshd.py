# SPDX-License-Identifier: GPL-2.0-or-later
"""This machine as another one: OpenSSH's server on a loopback port, with keys of its own."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from swarmstrap_server.images.remote.host import Access, Location, parse_location

_CONFIG = """\
ListenAddress 127.0.0.1:{port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/user_key.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin yes
"""


@dataclass(frozen=True, slots=True)
class Server:
    folder: Path
    port: int

    @property
    def known_hosts(self) -> Path:
        return self.folder / "known hosts"

    @property
    def access(self) -> Access:
        return Access(self.folder / "user_key", self.known_hosts)

    def location(self, path: Path) -> Location:
        return parse_location(f"ssh://root@127.0.0.1:{self.port}{quote(os.fsencode(path))}")

    def know(self, key: str = "host_key") -> None:
        public = (self.folder / f"{key}.pub").read_text()
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {public}")

    def new_key(self, name: str) -> None:
        keygen = ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f")
        subprocess.run([*keygen, str(self.folder / name)], check=True)


@contextmanager
def sshd(folder: Path) -> Iterator[Server]:
    """A server whose key is known, and that lets root in."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        server = Server(folder, probe.getsockname()[1])
    for key in ("host_key", "user_key"):
        server.new_key(key)
    server.know()
    config = folder / "sshd_config"
    config.write_text(_CONFIG.format(port=server.port, folder=folder))
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    with (folder / "sshd.log").open("wb") as log:
        command = ["/usr/sbin/sshd", "-D", "-e", "-f", str(config)]
        with subprocess.Popen(command, stderr=log) as process:
            try:
                _wait(server)
                yield server
            finally:
                process.terminate()


def _wait(server: Server) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", server.port), timeout=5).close()
        except OSError:
            if time.monotonic() > deadline:
                said = (server.folder / "sshd.log").read_text()
                raise TimeoutError(f"sshd does not listen after 20 s: {said}") from None
            time.sleep(0.05)
        else:
            return
