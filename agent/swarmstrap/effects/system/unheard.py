# SPDX-License-Identifier: GPL-2.0-or-later
"""What the server has not heard: it stays in the new system, until somebody takes it there."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import msgspec

from swarmstrap.effects.disks import filesystems, stack
from swarmstrap.effects.system import chroot
from swarmstrap.steps import Plan
from swarmstrap.steps.storage import MakeArray, MakeCrypt, MakeGroup, MountVolume, OpenAgain
from swarmstrap.steps.system import WriteFile
from swarmstrap.wire import UNHEARD, Event, Job, Unheard


def keep(events: tuple[Event, ...], job: Job, root: Path) -> None:
    """Blocking. `root` is where the new system is mounted."""
    session = hashlib.sha256(job.session.encode()).hexdigest()
    told = Unheard(deployment=job.deployment, session=session, events=events)
    content = msgspec.json.encode(told).decode()
    chroot.write_file(WriteFile(UNHEARD, content, 0o640), root)


def mount_again(plan: Plan, secrets: Mapping[str, str], root: Path) -> None:
    """All filesystems of a plan that was carried out and settled. Blocking."""
    for step in plan.steps:
        match step:
            case MakeArray() | MakeCrypt() | MakeGroup():
                stack.carry_out(OpenAgain(step), secrets)
            case OpenAgain():
                stack.carry_out(step, secrets)
            case MountVolume():
                filesystems.mount(step, root)
            case _:
                pass
