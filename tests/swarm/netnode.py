# SPDX-License-Identifier: GPL-2.0-or-later
"""A node as a process: the whole story, with a real fetch and without disks and boot loaders.

    python -m tests.swarm.netnode SERVER KEYS ADDRESS MAC FOLDER [TARGET]

It trusts what lies in KEYS and writes the image below TARGET, by default a folder in FOLDER. Run it
by `ip netns exec`: what it mounts for staged files goes with the mount namespace that this makes.
"""

import asyncio
import sys
from pathlib import Path

import pytest
from tests.http.conftest import inventory
from tests.http.node import Node, Noting

from swarmstrap.cmdline import Settings
from swarmstrap.effects import finish, host, network
from swarmstrap.effects.console import Console, Terminal
from swarmstrap.effects.disks import filesystems
from swarmstrap.effects.host import Machine
from swarmstrap.effects.images.unpack import Writers
from swarmstrap.hardware import Inventory
from swarmstrap.manifest import Manifest
from swarmstrap.reporter import Reporter
from swarmstrap.sshsig import Signers
from swarmstrap.steps import Plan, Step
from swarmstrap.steps.image import ImageStep
from swarmstrap.steps.leaving import FinishBoot, LeavingStep, Seed
from swarmstrap.story import Hands, run
from swarmstrap.wire import Job

WRITERS = 2


class Fetching(Noting):
    """Hands that fetch the image and serve it for real."""

    async def image(self, step: Step) -> None:
        assert isinstance(step, ImageStep)
        await self._real.image(step)

    async def leave(self, step: LeavingStep) -> None:
        await (self._real.leave if isinstance(step, Seed | FinishBoot) else self.note)(step)


class NetNode(Node):
    def hands(self, inventory: Inventory, job: Job, manifest: Manifest, plan: Plan) -> Hands:
        return Fetching(Machine.hands(self, inventory, job, manifest, plan), self.written)


def pretend(keys: Path, address: str, folder: Path, target: Path) -> None:
    """Whom it trusts, its network and its places; a reboot is nothing but the end."""
    patch = pytest.MonkeyPatch()
    patch.setattr(host, "CA", keys / "ca.crt")
    patch.setattr(host, "SIGNERS", Signers(keys / "allowed_signers", keys / "revoked_keys"))
    patch.setattr(host, "FLOORS", folder / "floors.json")
    patch.setattr(host, "STAGING", folder / "staging")
    patch.setattr(network, "configure", lambda settings, tell: address)
    patch.setattr(filesystems, "TARGET", target)
    patch.setattr(finish, "leave", lambda how: None)


async def main(server: str, keys: str, address: str, mac: str, folder: str, *rest: str) -> None:
    target = Path(rest[0]) if rest else Path(folder, "target")
    target.mkdir(parents=True, exist_ok=True)
    pretend(Path(keys), address, Path(folder), target)
    writers = Writers.start(WRITERS)
    console = Console([Terminal("ttyS0", sys.stdout.fileno(), screen=False)])
    report = Reporter([console.hear])
    settings = Settings(server, boot_mac=mac)
    node = NetNode(settings, report, console, writers)
    node.found = inventory(mac)
    try:
        await run(node, report, settings)
    finally:
        await writers.stop()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
