# SPDX-License-Identifier: GPL-2.0-or-later
"""Steps that make one node's own system of a copy: files, keys, hooks, boot loader."""

from collections.abc import Iterable
from dataclasses import dataclass

from swarmstrap.manifest import Tpm2Unlocker
from swarmstrap.volumes import CryptVolume, DiskId, PartitionVolume, Volume
from swarmstrap.wire import BootOrder, OverlayFile


@dataclass(frozen=True, slots=True)
class WriteFile:
    """A file of the installed system made from text; `path` is absolute inside it."""

    path: str
    content: str
    mode: int

    def __str__(self) -> str:
        return f"write {self.path}"


@dataclass(frozen=True, slots=True)
class RemoveFiles:
    """Paths absolute inside the installed system; a missing one is no error."""

    paths: tuple[str, ...]
    why: str

    def __str__(self) -> str:
        rest = len(self.paths) - 1
        more = f" and {rest} more" if rest else ""
        return f"remove {self.paths[0]}{more}: {self.why}"


@dataclass(frozen=True, slots=True)
class MakeHostKeys:
    def __str__(self) -> str:
        return "make new SSH host keys"


@dataclass(frozen=True, slots=True)
class SealKey:
    """A key of `volume`, which lies on `device`, that this node's TPM2 gives out only while its
    PCRs `pcrs` are as they are now: made and kept in the way of what will ask for it.
    """

    volume: CryptVolume
    device: Volume
    unlocker: Tpm2Unlocker
    pcrs: tuple[int, ...]

    def __str__(self) -> str:
        bound = f"PCR {' and '.join(map(str, self.pcrs))}" if self.pcrs else "no PCR"
        return f"give this node's TPM2 a key of {self.volume}, bound to {bound}"


@dataclass(frozen=True, slots=True)
class Need:
    """A kernel module, program or library, `name`, that the initramfs must have for `user`."""

    name: str
    user: str

    def __str__(self) -> str:
        return f"{self.name}, needed by {self.user}"


@dataclass(frozen=True, slots=True)
class ReadyInitramfs:
    """The `initrd` of kernel `version` must be able to find and mount the root."""

    version: str
    initrd: str
    modules: tuple[Need, ...]
    programs: tuple[Need, ...]

    def __str__(self) -> str:
        needs = ", ".join(dict.fromkeys(need.name for need in (*self.modules, *self.programs)))
        return f"see that {self.initrd} has {needs}, and make it anew if not"


@dataclass(frozen=True, slots=True)
class InstallGrub:
    """For the BIOS onto `disks`, or for UEFI onto `esps`, where firmware looks without an entry.
    `folder` is where the image keeps what GRUB reads, as in `/boot/grub`.
    """

    target: str
    folder: str
    disks: tuple[DiskId, ...] = ()
    esps: tuple[PartitionVolume, ...] = ()

    def __str__(self) -> str:
        return f"install GRUB for {self.target} on {_listed((*self.disks, *self.esps))}"


@dataclass(frozen=True, slots=True)
class EspCopy:
    """`source` is absolute in the installed system, `path` relative to the top of the ESP."""

    source: str
    path: str


@dataclass(frozen=True, slots=True)
class EspText:
    path: str
    content: str


@dataclass(frozen=True, slots=True)
class FillEsps:
    """Boot loader `what` on each ESP; of `absent`, which would change its way, nothing stays."""

    what: str
    esps: tuple[PartitionVolume, ...]
    copies: tuple[EspCopy, ...]
    texts: tuple[EspText, ...]
    absent: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"put {self.what} on {_listed(self.esps)}"


@dataclass(frozen=True, slots=True)
class AddBootEntries:
    """One for each ESP, so that the firmware knows the loss of one of them. `loader` is relative to
    the top of the ESP; `netbooted` says that the entry of this boot came by the network.
    """

    label: str
    esps: tuple[PartitionVolume, ...]
    loader: str
    order: BootOrder
    netbooted: bool

    def __str__(self) -> str:
        place = "behind those of the network" if self.order == "network-first" else "first of all"
        return f"make boot entry {self.label} for {_listed(self.esps)}, {place}"


@dataclass(frozen=True, slots=True)
class RefreshGrub:
    """After an update."""

    install: InstallGrub

    def __str__(self) -> str:
        return f"{self.install}, if the image has another one"


@dataclass(frozen=True, slots=True)
class EndUpdate:
    def __str__(self) -> str:
        return "note that the update is complete"


@dataclass(frozen=True, slots=True)
class LayOverlay:
    """No template is among `files` any more."""

    name: str
    files: tuple[OverlayFile, ...]

    def __str__(self) -> str:
        count = len(self.files)
        return f"lay overlay {self.name} ({count} file{'' if count == 1 else 's'})"


@dataclass(frozen=True, slots=True)
class RunHook:
    """`index` is the hook's place in the job, which carries its content."""

    index: int
    name: str
    where: str
    timeout: float

    def __str__(self) -> str:
        place = "in the new system" if self.where == "chroot" else "in the initramfs"
        return f"run hook {self.name} {place} (at most {self.timeout:.0f} s)"


BootStep = ReadyInitramfs | InstallGrub | FillEsps | AddBootEntries
SystemStep = (
    WriteFile
    | RemoveFiles
    | MakeHostKeys
    | SealKey
    | LayOverlay
    | RunHook
    | BootStep
    | RefreshGrub
    | EndUpdate
)


def _listed(things: Iterable[object]) -> str:
    return " and ".join(map(str, things))
