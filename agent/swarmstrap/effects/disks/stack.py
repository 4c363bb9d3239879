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

StackStep = ReleaseDisks | MakeArray | MakeCrypt | MakeGroup | MakePool | MakeLogical | OpenAgain


def carry_out(step: StackStep, secrets: Mapping[str, str]) -> None:
    """`secrets` has one for each LUKS volume, by its name. Blocking, for minutes at most."""
    match step:
        case ReleaseDisks():
            teardown.stop(step.disks)
        case MakeArray():
            arrays.make(step)
        case MakeCrypt():
            crypt.make(step, _secret(step, secrets))
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
            crypt.open_again(step.made, _secret(step.made, secrets))
        case MakeGroup():
            lvm.activate(step.made)
        case _:
            assert_never(step.made)


def _secret(step: MakeCrypt, secrets: Mapping[str, str]) -> str:
    if secret := secrets.get(step.volume.name):
        return secret
    raise StepFailed(
        f"the job has no secret for {step.volume}",
        hint="the server makes one when the node is armed: deploy it again",
    )
