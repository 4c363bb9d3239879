# SPDX-License-Identifier: GPL-2.0-or-later
"""What a virtual node keeps between two power-ons: disks, decoys, UEFI variables, its TPM2."""

import hashlib
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from swarmstrap.errors import SwarmstrapError
from swarmstrap.units import Bytes, MiB
from swarmstrap_server.lab.machines import (
    LOGS,
    Accelerator,
    AttachedDisk,
    PowerOn,
    VirtualNode,
)

DECOY_BYTES = Bytes(64 * MiB)
_NO_ZERO = bytes.maketrans(b"\0", b"\xff")


@dataclass(frozen=True, slots=True)
class NodeFiles:
    """The folder of one virtual node, and what is in it: `disks` by name, `decoys`."""

    folder: Path
    disks: Mapping[str, AttachedDisk]
    decoys: tuple[AttachedDisk, ...]
    uefi_vars: Path | None
    tpm: Path | None = None

    @property
    def system(self) -> AttachedDisk:
        return self.disks["system"]

    @property
    def decoy(self) -> AttachedDisk:
        return self.decoys[0]

    def power_on(
        self,
        accelerator: Accelerator,
        *,
        decoy_first: bool,
        removed: str = "",
        netns: str | None = None,
        tap: str | None = None,
    ) -> PowerOn:
        """One power-on with all disks but the one `removed`; their order, decoys first or all of
        it reversed, changes what the guest's kernel calls them.
        """
        there = [disk for name, disk in self.disks.items() if name != removed]
        disks = [*self.decoys, *there]
        return PowerOn(
            accelerator=accelerator,
            disks=tuple(disks if decoy_first else reversed(disks)),
            netns=netns,
            tap=tap,
            uefi_vars=self.uefi_vars,
            tpm=self.tpm,
        )


def prepare(node: VirtualNode, folder: Path) -> NodeFiles:
    """Make empty disks, filled decoys and fresh UEFI variables in `folder`.

    Raises SwarmstrapError when the UEFI firmware is not installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for log in LOGS:
        (folder / log).unlink(missing_ok=True)
    disks: dict[str, AttachedDisk] = {}
    # After the network, which is the first that the firmware tries.
    for place, disk in enumerate(node.disks, start=2):
        path, serial = folder / f"{disk.name}.raw", f"{node.name}-{disk.name}"
        disks[disk.name] = AttachedDisk(path, serial, disk.bus, disk.sector, place, disk.bad)
        with path.open("wb") as file:
            file.truncate(disk.size)
    names = ["decoy", *(f"decoy{number}" for number in range(2, node.decoys + 1))]
    decoys = tuple(
        AttachedDisk(folder / f"{name}.raw", f"{node.name}-{name}", node.bus, node.sector)
        for name in names
    )
    for decoy in decoys:
        with decoy.path.open("wb") as file:
            file.writelines(_pattern(decoy.serial))
    tpm = new_tpm(folder) if node.tpm else None
    return NodeFiles(folder, disks, decoys, _private_vars(node, folder), tpm)


def new_tpm(folder: Path) -> Path:
    """Where the TPM2 of the node in `folder` keeps its state: empty, for a chip out of its box."""
    state = folder / "tpm"
    shutil.rmtree(state, ignore_errors=True)
    state.mkdir()
    return state


def decoy_change(decoy: AttachedDisk) -> int | None:
    """The offset of the first byte of the decoy that is not as it was made; None if all are."""
    offset = 0
    with decoy.path.open("rb") as disk:
        for block in _pattern(decoy.serial):
            found = disk.read(len(block))
            if found != block:
                pairs = zip(found, block, strict=False)
                same = (i for i, (a, b) in enumerate(pairs) if a != b)
                return offset + next(same, len(found))
            offset += len(block)
        return offset if disk.read(1) else None


def _pattern(serial: str) -> Iterator[bytes]:
    """`DECOY_BYTES` that depend on the serial, none of them zero, so that no write can hide."""
    for number in range(DECOY_BYTES // MiB):
        seed = f"{serial}:{number}".encode()
        yield hashlib.shake_128(seed).digest(MiB).translate(_NO_ZERO)


def _private_vars(node: VirtualNode, folder: Path) -> Path | None:
    if (ovmf := node.ovmf) is None:
        return None
    for part in (ovmf.code, ovmf.variables):
        if not part.exists():
            raise SwarmstrapError(f"no UEFI firmware at {part}", hint="install the package ovmf")
    return Path(shutil.copyfile(ovmf.variables, folder / "uefi-vars.fd"))
