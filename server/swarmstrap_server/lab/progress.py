# SPDX-License-Identifier: GPL-2.0-or-later
"""A virtual node on its way through a rehearsal, and what is said of it at the end."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from swarmstrap_server.control.limits import node_limit
from swarmstrap_server.control.nodes import Deployment
from swarmstrap_server.lab.guest import Guest
from swarmstrap_server.lab.machines import VirtualNode
from swarmstrap_server.lab.report import NodeReport

Stage = Literal["waiting", "installing", "starting", "deployed", "failed"]


@dataclass(slots=True)
class Progress:
    """One node on its way; `deployment` is what the server knows, `guest` the running machine.
    `installed` and `updated` are the deployments as they ended, `boots` how often it started from
    its disk, `powered_on` the time of the last installer, `typed` how many passphrases were asked
    for at the last start, `console` the last lines of that start, `spoke` whether its installer
    said a word in it, `power_cycles` how often it hung before that and was switched off and on.
    """

    node: VirtualNode
    stage: Stage = "waiting"
    deployment: Deployment | None = None
    installed: Deployment | None = None
    updated: Deployment | None = None
    guest: Guest | None = None
    powered_on: float = 0.0
    phases: dict[str, float] = field(default_factory=dict)
    decoy_intact: bool = False
    booted_from_disk: bool = False
    boots: int = 0
    typed: int = 0
    reason: str = ""
    console: Sequence[str] = ()
    spoke: bool = False
    power_cycles: int = 0

    def report(self) -> NodeReport:
        done = self.installed
        return NodeReport(
            name=self.node.name,
            firmware=self.node.firmware,
            disk=self.node.bus,
            nic=self.node.nic,
            result="deployed" if self.stage == "deployed" else "failed",
            booted_from_disk=self.booted_from_disk,
            boots=self.boots,
            decoy_intact=self.decoy_intact,
            from_seeder_bytes=done.from_seeder if done else 0,
            from_peers_bytes=done.from_peers if done else 0,
            update_bytes=self.updated.from_seeder + self.updated.from_peers if self.updated else 0,
            phases={name: round(seconds, 1) for name, seconds in self.phases.items()},
            limit=node_limit(done) if done else None,
            power_cycles=self.power_cycles,
            reason=self.reason,
            console=tuple(self.console) if self.reason else (),
        )


Observer = Callable[[Sequence[Progress]], None]
