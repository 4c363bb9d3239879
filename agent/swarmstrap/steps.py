# SPDX-License-Identifier: GPL-2.0-or-later
"""Steps: one frozen value per verb. `str(step)` is an imperative, and serves as log line, dry-run
line, progress line and error note.
"""

from dataclasses import dataclass
from typing import Literal, assert_never

from swarmstrap.layout import Format, Unused
from swarmstrap.manifest import PartitionTable
from swarmstrap.units import human
from swarmstrap.volumes import DiskId, PlannedPartition, Volume
from swarmstrap.wire import Finish


@dataclass(frozen=True, slots=True)
class WipeDisk:
    disk: DiskId
    signatures: tuple[str, ...]

    def __str__(self) -> str:
        found = ", ".join(self.signatures) or "nothing known"
        return f"wipe {self.disk}, which holds {found}"


@dataclass(frozen=True, slots=True)
class WritePartitionTable:
    disk: DiskId
    uuid: str
    partitions: tuple[PlannedPartition, ...]

    def __str__(self) -> str:
        parts = ", ".join(f"{p.label} {human(p.size)}" for p in self.partitions)
        return f"write a GPT to {self.disk}: {parts}"


@dataclass(frozen=True, slots=True)
class MakeFilesystem:
    """`uuid` is a filesystem UUID; for vfat its 8 hex digits as `XXXX-XXXX`."""

    volume: Volume
    format: Format
    label: str
    uuid: str

    def __str__(self) -> str:
        return f"make {self.format} {self.uuid} on {self.volume}"


@dataclass(frozen=True, slots=True)
class MountVolume:
    """`target` is a path of the installed system, `/` first."""

    volume: Volume
    format: Format
    target: str
    options: str

    def __str__(self) -> str:
        return f"mount {self.volume} at {self.target}"


def _staged(staging: str, elsewhere: str, room: int) -> str:
    if staging == "memory":
        return f"memory, which has {human(room)} for it"
    return f"{elsewhere}, since memory has only {human(room)} for it"


@dataclass(frozen=True, slots=True)
class FetchImage:
    """`staging` says where the compressed payload stays to be served to peers, `room` for how many
    bytes of it there is memory.
    """

    name: str
    version: str
    infohash: str
    payload: int
    staging: Literal["memory", "target"]
    room: int

    def __str__(self) -> str:
        place = _staged(self.staging, "the new root", self.room)
        return (
            f"fetch image {self.name} {self.version} ({human(self.payload)}) from the swarm into "
            f"{place}, and write it"
        )


@dataclass(frozen=True, slots=True)
class WriteDiskImage:
    """The first `size` bytes of the disk become those of the image; `unused` is what becomes of
    the parts of them that nothing uses. `staging` says where the compressed payload stays, `room`
    for how many bytes of it there is memory.
    """

    disk: DiskId
    name: str
    version: str
    infohash: str
    payload: int
    size: int
    unused: Unused
    staging: Literal["memory", "tail"]
    room: int
    verify: bool

    def __str__(self) -> str:
        place = _staged(self.staging, "the end of the disk", self.room)
        return (
            f"fetch image {self.name} {self.version} ({human(self.payload)}) from the swarm into "
            f"{place}, write its {human(self.size)} to {self.disk}"
            f"{', and read all of it back' if self.verify else ''}"
        )


@dataclass(frozen=True, slots=True)
class ClearRest:
    """Everything from `start` on, which is behind the image."""

    disk: DiskId
    start: int
    how: Literal["discard", "zero"]

    def __str__(self) -> str:
        last = f"the last {human(self.disk.size - self.start)} of {self.disk.name}"
        return f"discard {last}" if self.how == "discard" else f"fill {last} with zeros"


@dataclass(frozen=True, slots=True)
class Growth:
    """Partition `number`, or the whole disk when that is 0, and the filesystem in it; `start` and
    `size`, to which it grows, in bytes.
    """

    number: int
    filesystem: str
    start: int
    size: int

    def __str__(self) -> str:
        place = f"partition {self.number} with its" if self.number else "the"
        return f"{place} {self.filesystem} to {human(self.size)}"


@dataclass(frozen=True, slots=True)
class GrowDisk:
    """The image's table comes to fit a larger disk; what cannot grow stays as it is."""

    disk: DiskId
    table: PartitionTable
    growth: Growth | None

    def __str__(self) -> str:
        table = ["move the backup GPT to the end"] if self.table == "gpt" else []
        growing = f"grow {self.growth}" if self.growth else "leave the partitions as they are"
        return f"on {self.disk.name} {' and '.join([*table, growing])}"


@dataclass(frozen=True, slots=True)
class CheckClones:
    disk: DiskId

    def __str__(self) -> str:
        return f"look for UUIDs and labels of {self.disk.name} on the other disks"


@dataclass(frozen=True, slots=True)
class ProveTable:
    """The disk has this very table already: written for this node, with these partitions."""

    disk: DiskId
    uuid: str
    partitions: tuple[PlannedPartition, ...]

    def __str__(self) -> str:
        return f"make sure that {self.disk} has the {len(self.partitions)} partitions of this node"


@dataclass(frozen=True, slots=True)
class UpdateTree:
    """What is mounted becomes the image, but for what `preserve` matches. `deployment` and `node`
    must be those of the system that is there; `mounts` are the paths that belong to it.
    """

    name: str
    version: str
    infohash: str
    payload: int
    staging: Literal["memory", "target"]
    deployment: str
    node: str
    mounts: tuple[str, ...]
    preserve: tuple[str, ...]
    checksum: bool
    allow_older: bool

    def __str__(self) -> str:
        how = "contents" if self.checksum else "sizes and times"
        return (
            f"compare {how} with image {self.name} {self.version}, fetch what differs from the "
            f"swarm into {self.staging}, and write it"
        )


@dataclass(frozen=True, slots=True)
class TidyTree:
    def __str__(self) -> str:
        return "remove what the image does not have"


@dataclass(frozen=True, slots=True)
class VerifyTree:
    """As UpdateTree left it; after a fresh deployment nothing is preserved, and `preserve` None."""

    mounts: tuple[str, ...]
    preserve: tuple[str, ...] | None

    def __str__(self) -> str:
        return "read everything back from the disk, and compare it with the image"


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
class InstallGrub:
    """`targets` are GRUB platforms; `disk` carries the BIOS boot code; `nvram` adds an entry."""

    disk: DiskId
    targets: tuple[str, ...]
    efi_directory: str
    nvram: bool
    bootloader_id: str

    def __str__(self) -> str:
        entry = " and an NVRAM entry" if self.nvram else ""
        return f"install GRUB for {' and '.join(self.targets)} on {self.disk}{entry}"


@dataclass(frozen=True, slots=True)
class RefreshGrub:
    """After an update."""

    install: InstallGrub

    def __str__(self) -> str:
        return f"{self.install}, if the image has another one"


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


@dataclass(frozen=True, slots=True)
class Settle:
    """Everything written reaches the disks and the mounts are gone."""

    def __str__(self) -> str:
        return "sync and unmount the new system"


@dataclass(frozen=True, slots=True)
class Seed:
    seconds: float

    def __str__(self) -> str:
        return f"seed for the peers until released (at most {self.seconds:.0f} s)"


@dataclass(frozen=True, slots=True)
class FinishBoot:
    how: Finish
    kernel: str
    initrd: str
    arguments: str

    def __str__(self) -> str:
        return {
            "reboot": "reboot into the new system",
            "kexec": f"start {self.kernel} directly (kexec)",
            "poweroff": "power off",
            "shell": "stay in a shell",
        }[self.how]


Step = (
    WipeDisk
    | WritePartitionTable
    | MakeFilesystem
    | MountVolume
    | FetchImage
    | WriteDiskImage
    | ClearRest
    | GrowDisk
    | CheckClones
    | ProveTable
    | UpdateTree
    | TidyTree
    | VerifyTree
    | WriteFile
    | RemoveFiles
    | MakeHostKeys
    | InstallGrub
    | RefreshGrub
    | RunHook
    | Settle
    | Seed
    | FinishBoot
)


@dataclass(frozen=True, slots=True)
class Plan:
    """`digest` is sha256 over the steps, as hex: the same on the node, the server and in tests."""

    steps: tuple[Step, ...]
    digest: str

    def lines(self) -> tuple[str, ...]:
        return tuple(str(step) for step in self.steps)


Phase = Literal["disks", "image", "configure", "hooks", "bootloader", "settle", "seed", "finish"]


def phase(step: Step) -> Phase:
    """The part of the deployment that `step` belongs to, as shown to people and timed."""
    match step:
        case WipeDisk() | WritePartitionTable() | MakeFilesystem() | MountVolume():
            return "disks"
        case ProveTable():
            return "disks"
        case FetchImage() | WriteDiskImage() | UpdateTree() | VerifyTree():
            return "image"
        case ClearRest() | GrowDisk() | CheckClones():
            return "configure"
        case WriteFile() | RemoveFiles() | MakeHostKeys() | TidyTree():
            return "configure"
        case RunHook():
            return "hooks"
        case InstallGrub() | RefreshGrub():
            return "bootloader"
        case Settle():
            return "settle"
        case Seed():
            return "seed"
        case FinishBoot():
            return "finish"
        case _:
            assert_never(step)
