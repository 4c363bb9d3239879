# SPDX-License-Identifier: GPL-2.0-or-later
"""A rehearsal whose node nobody but its BMC switches on, ordered by `swarmstrap deploy`."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import yaml
from tests.bmc import ipmi, redfish
from tests.bmc.chassis import Machine

from swarmstrap.errors import SwarmstrapError
from swarmstrap_server import cli
from swarmstrap_server.control.operator_wire import Arm
from swarmstrap_server.lab.course import Order
from swarmstrap_server.lab.progress import Progress
from swarmstrap_server.lab.serving import LabServer
from swarmstrap_server.rollouts.values import Pace

# Of a command that waits for a node, from the node's own end.
_SECONDS = 60.0
_PASSWORD_FILE = "keys/bmc"


@dataclass
class Switched:
    """The `orders` of a rehearsal of one node, and what the BMC in front of it switches: it is on
    while QEMU runs. `asked` is what was asked of the BMC, `statuses` how each command exited.
    """

    protocol: Literal["redfish", "ipmi"]
    asked: list[str] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    _progress: Progress | None = None
    _on: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_on(self) -> bool:
        return self._progress is not None and self._progress.guest is not None

    def hear(self, word: str) -> None:
        self.asked.append(word)
        if word == "on":
            self._on.set()
        elif word == "kill" and self._progress and self._progress.guest:
            self._progress.guest.cut_power()

    @contextlib.asynccontextmanager
    async def __call__(self, server: LabServer, nodes: Sequence[Progress]) -> AsyncIterator[Order]:
        (self._progress,) = nodes
        deploying: list[asyncio.Task[int]] = []

        async def order(arm: Arm) -> None:
            self._on.clear()
            command = asyncio.to_thread(cli.main, _command(server, arm))
            deploying.append(asyncio.create_task(command))
            await self._asked_for_power(deploying[-1])

        folder = server.paths.root.parent / "bmc"
        shutil.rmtree(folder, ignore_errors=True)
        speak = _redfish if self.protocol == "redfish" else _ipmi
        bmc, password, words = speak(self, folder, server)
        _write_power(server, password, words)
        async with bmc:
            yield order
            if deploying:  # a node may have failed before anything was ordered
                await asyncio.wait(deploying, timeout=_SECONDS)
            self.statuses += [command.result() for command in deploying if command.done()]

    async def _asked_for_power(self, deploying: asyncio.Task[int]) -> None:
        asked = asyncio.create_task(self._on.wait())
        try:
            await asyncio.wait(
                {asked, deploying},
                timeout=Pace().power_seconds,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if not asked.done():
                raise SwarmstrapError("the node's BMC was never asked to switch it on")
        finally:
            asked.cancel()


# A BMC, its password, and how a node's file speaks of it.
Bmc = tuple[AbstractAsyncContextManager[None], str, Mapping[str, object]]


def _redfish(machine: Machine, folder: Path, server: LabServer) -> Bmc:
    address, port = str(server.net.server), 8000
    bmc = redfish.bmc(machine, folder, server.paths, address, port, netns=server.net.name)
    own = {"address": f"https://{address}:{port}", "verify": "keys/ca.crt"}
    return bmc, redfish.PASSWORD, {"driver": "redfish", "username": redfish.USER, **own}


def _ipmi(machine: Machine, folder: Path, server: LabServer) -> Bmc:
    address, port = str(server.net.server), 623
    bmc = ipmi.bmc(machine, folder, address, port, netns=server.net.name)
    own = {"address": address, "port": port, "cipher": ipmi.CIPHER, "boot": "bios"}
    return bmc, ipmi.PASSWORD, {"driver": "ipmi", "username": ipmi.USER, **own}


def _write_power(server: LabServer, password: str, words: Mapping[str, object]) -> None:
    root = server.paths.root
    file = root / _PASSWORD_FILE
    file.touch(mode=0o600)
    file.write_text(password)
    listed = root / "nodes" / "rehearsal.yaml"
    (node,) = yaml.safe_load(listed.read_text())["nodes"]
    power = {**words, "password_file": _PASSWORD_FILE}
    listed.write_text(yaml.safe_dump({"nodes": [{**node, "power": power}]}))


def _command(server: LabServer, arm: Arm) -> list[str]:
    site = ["--site", str(server.paths.root)]
    image = f"{arm.image}:{arm.version}"
    return [*site, "deploy", image, "--to", *arm.nodes, "--mode", arm.mode, "--wait"]
