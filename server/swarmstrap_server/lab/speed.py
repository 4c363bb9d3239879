# SPDX-License-Identifier: GPL-2.0-or-later
"""How fast virtual nodes run here: the accelerator that really works, and a factor for deadlines.

A file `/dev/kvm` proves nothing (under nested virtualisation guests may hang before their first
line), so a small kernel is booted for a few seconds to find out.
"""

import asyncio
import contextlib
import logging
import os
from dataclasses import dataclass
from pathlib import Path

import msgspec

from swarmstrap.errors import SwarmstrapError
from swarmstrap.units import Bytes, MiB
from swarmstrap_server.files import locked
from swarmstrap_server.lab.guest import powered_on
from swarmstrap_server.lab.machines import Accelerator, KernelBoot, PowerOn, VirtualNode
from swarmstrap_server.lab.probe import tiny_boot
from swarmstrap_server.lab.verdict import Ended, Expected
from swarmstrap_server.process import ChildFailed

log = logging.getLogger(__name__)

# Power-on to proof of the tiny kernel under TCG on the idle two-core machine on which all
# deadlines of the lab were chosen.
REFERENCE_SECONDS = 4.5
_KVM_PROBE_SECONDS = 15.0
_TCG_PROBE_SECONDS = 240.0
_KVM = Path("/dev/kvm")
_PROOF = "probe: alive"


@dataclass(frozen=True, slots=True)
class Speed:
    """`factor`: how many times slower than the reference machine nodes are here; at least 1."""

    accelerator: Accelerator
    factor: float

    def deadline(self, seconds: float, *, guests: int = 1) -> float:
        """`seconds` of the reference machine as a limit here, with `guests` running at once."""
        crowding = guests / (os.cpu_count() or 1)
        return seconds * self.factor * max(1.0, crowding)


class _Decision(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was decided, and for which machine and kernel it holds."""

    accelerator: Accelerator
    host: str


async def measure(kernel: Path, folder: Path) -> Speed:
    """Boot the tiny kernel once and time it; the choice of accelerator is kept in `folder`, which
    only one process at a time uses.

    Raises SwarmstrapError when no virtual node can run here at all.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as held:
        await asyncio.to_thread(held.enter_context, locked(folder))
        boot = tiny_boot(kernel, folder / "probe.cpio", f'report "{_PROOF}"; sleep 60\n')
        decided = _decided(folder) or await _decide(boot, folder)
        limit = _KVM_PROBE_SECONDS if decided == "kvm" else _TCG_PROBE_SECONDS
        ended = await _probe(boot, decided, limit, folder)
    if not ended.good:
        raise SwarmstrapError(
            f"a small kernel does not run under QEMU with {decided}: {ended.detail}",
            hint=f"its console is in {folder}",
        )
    return Speed(decided, max(1.0, ended.seconds / REFERENCE_SECONDS))


async def _decide(boot: KernelBoot, folder: Path) -> Accelerator:
    accelerator: Accelerator = "tcg"
    if os.access(_KVM, os.R_OK | os.W_OK):
        try:
            if (await _probe(boot, "kvm", _KVM_PROBE_SECONDS, folder)).good:
                accelerator = "kvm"
        except ChildFailed:
            accelerator = "tcg"
    decision = _Decision(accelerator, _host())
    (folder / "accelerator.json").write_bytes(msgspec.json.encode(decision))
    return accelerator


def _decided(folder: Path) -> Accelerator | None:
    try:
        text = (folder / "accelerator.json").read_bytes()
        decision = msgspec.json.decode(text, type=_Decision)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None
    return decision.accelerator if decision.host == _host() else None


def _host() -> str:
    """Changes with the host's kernel and with the presence of KVM, which the choice depends on."""
    return f"{os.uname().version} kvm={os.access(_KVM, os.R_OK | os.W_OK)}"


async def _probe(boot: KernelBoot, accelerator: Accelerator, limit: float, folder: Path) -> Ended:
    node = VirtualNode(
        name="probe",
        mac="52:54:00:00:00:01",
        uuid="00000000-0000-4000-8000-000000000001",
        memory=Bytes(256 * MiB),
    )
    power = PowerOn(accelerator=accelerator, kernel=boot)
    async with powered_on(
        node, power, logs=folder, on_line=log.debug, on_report=_PROOF.__eq__
    ) as guest:
        return await guest.ended(Expected("proof", limit, limit))
