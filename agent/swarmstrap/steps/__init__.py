# SPDX-License-Identifier: GPL-2.0-or-later
"""Steps: one frozen value per verb. `str(step)` is an imperative, and serves as log line, dry-run
line, progress line and error note. A module for each family, and one hand for each module.
"""

from dataclasses import dataclass
from typing import Literal, assert_never

from swarmstrap.steps.image import (
    ClearRest,
    FetchImage,
    ImageStep,
    TidyTree,
    UpdateTree,
    VerifyTree,
    WriteDiskImage,
)
from swarmstrap.steps.leaving import (
    FinishBoot,
    LeavingStep,
    Seed,
    Settle,
)
from swarmstrap.steps.storage import (
    CheckClones,
    GrowDisk,
    MakeArray,
    MakeCrypt,
    MakeFilesystem,
    MakeGroup,
    MakeLogical,
    MakePool,
    MakeSubvolumes,
    MountVolume,
    OpenAgain,
    ProveTable,
    ReleaseDisks,
    StorageStep,
    WipeDisk,
    WritePartitionTable,
)
from swarmstrap.steps.system import (
    AddBootEntries,
    EndUpdate,
    FillEsps,
    InstallGrub,
    LayOverlay,
    MakeHostKeys,
    ReadyInitramfs,
    RefreshGrub,
    RemoveFiles,
    RunHook,
    SealKey,
    SystemStep,
    WriteFile,
)

Step = StorageStep | ImageStep | SystemStep | LeavingStep


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
        case ReleaseDisks() | WipeDisk() | WritePartitionTable() | ProveTable():
            return "disks"
        case MakeArray() | MakeCrypt() | MakeGroup() | MakePool() | MakeLogical() | OpenAgain():
            return "disks"
        case MakeFilesystem() | MakeSubvolumes() | MountVolume():
            return "disks"
        case FetchImage() | WriteDiskImage() | UpdateTree() | VerifyTree():
            return "image"
        case ClearRest() | GrowDisk() | CheckClones():
            return "configure"
        case WriteFile() | RemoveFiles() | LayOverlay() | MakeHostKeys() | SealKey() | TidyTree():
            return "configure"
        case RunHook():
            return "hooks"
        case ReadyInitramfs() | InstallGrub() | FillEsps() | AddBootEntries():
            return "bootloader"
        case RefreshGrub() | EndUpdate():
            return "bootloader"
        case Settle():
            return "settle"
        case Seed():
            return "seed"
        case FinishBoot():
            return "finish"
        case _:
            assert_never(step)
