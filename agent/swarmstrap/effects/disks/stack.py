# SPDX-License-Identifier: GPL-2.0-or-later
"""What lies between partitions and filesystems: each of its steps, by the module that does it."""

from collections.abc import Mapping
from typing import assert_never

from swarmstrap.effects.disks import arrays, crypt, lvm, teardown
from swarmstrap.errors import StepFailed
from swarmstrap.steps.storage import (
    MakeArray,
    MakeCrypt,
    MakeGroup,
    MakeLogical,
    MakePool,
    OpenAgain,
    ReleaseDisks,
)
from swarmstrap.volumes import CryptVolume

StackStep = ReleaseDisks | MakeArray | MakeCrypt | MakeGroup | MakePool | MakeLogical | OpenAgain


def carry_out(step: StackStep, secrets: Mapping[str, str]) -> None:
    """`secrets` has one for each LUKS volume, by its name. Blocking, for minutes at most."""
    match step:
        case ReleaseDisks():
            teardown.stop(step.disks)
        case MakeArray():
            arrays.make(step)
        case MakeCrypt():
            crypt.make(step, secret(step.volume, secrets))
        case MakeGroup():
            lvm.make_group(step)
        case MakePool():
            lvm.make_pool(step)
        case MakeLogical():
            lvm.make_logical(step)
        case OpenAgain():
            _open(step, secrets)
        case _:
            assert_never(step)


def _open(step: OpenAgain, secrets: Mapping[str, str]) -> None:
    match step.made:
        case MakeArray():
            arrays.start(step.made)
        case MakeCrypt():
            crypt.open_again(step.made, secret(step.made.volume, secrets))
        case MakeGroup():
            lvm.activate(step.made)
        case _:
            assert_never(step.made)


def secret(volume: CryptVolume, secrets: Mapping[str, str]) -> str:
    """Raises StepFailed when there is none."""
    if found := secrets.get(volume.name):
        return found
    raise StepFailed(
        f"the job has no secret for {volume}",
        hint="the server makes one when the node is armed: deploy it again",
    )
