# SPDX-License-Identifier: GPL-2.0-or-later
"""A virtual node that nobody but its BMC switches on."""

import asyncio
from dataclasses import dataclass, field

from swarmstrap_server.lab.files import NodeFiles
from swarmstrap_server.lab.guest import powered_on
from swarmstrap_server.lab.machines import VirtualNode
from swarmstrap_server.lab.network import Network
from swarmstrap_server.lab.speed import Speed
from swarmstrap_server.lab.trial import Trial, is_proof
from swarmstrap_server.lab.verdict import End, Ended, Expected

INSTALL_SECONDS, START_SECONDS, QUIET_SECONDS = 240.0, 150.0, 90.0
# Nothing is asked of it in particular.
_TRIAL = Trial()


@dataclass
class VirtualMachine:
    """Switched on it installs, resets, and starts from its disk, which has to prove itself with the
    `nonce`. `ends` is how that went, `asked` what the BMC was asked for.
    """

    node: VirtualNode
    kept: NodeFiles
    net: Network
    tap: str
    speed: Speed
    nonce: str
    asked: list[str] = field(default_factory=list)
    ends: list[Ended] = field(default_factory=list)
    running: asyncio.Task[None] | None = None

    @property
    def is_on(self) -> bool:
        return self.running is not None and not self.running.done()

    def hear(self, word: str) -> None:
        self.asked.append(word)
        if word == "on" and not self.is_on:
            self.running = asyncio.create_task(self._run())
        elif word == "kill" and self.running is not None:
            self.running.cancel()

    async def _run(self) -> None:
        self.ends.append(await self._session("reset", INSTALL_SECONDS, installs=True))
        if self.ends[-1].good:
            self.ends.append(await self._session("power-off", START_SECONDS, installs=False))

    async def _session(self, end: End, seconds: float, *, installs: bool) -> Ended:
        """From power-on, or a reset, to the next one."""
        disks = _TRIAL.disks(self.kept, removed="")
        power = self.kept.power_on(
            self.speed.accelerator, netns=self.net.name, tap=self.tap, decoy_first=installs
        )

        def answered(line: str) -> bool:
            return is_proof(line, self.nonce, disks, self.node, _TRIAL)

        async with powered_on(
            self.node,
            power,
            logs=self.kept.folder,
            on_line=lambda _: None,
            on_report=answered,
        ) as guest:
            if installs:
                guest.prove()  # what it tells the server is the proof
            limit = self.speed.deadline(seconds, guests=2)
            quiet = self.speed.deadline(QUIET_SECONDS, guests=2)
            return await guest.ended(Expected(end, limit, quiet))
