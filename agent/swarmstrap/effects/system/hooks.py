# SPDX-License-Identifier: GPL-2.0-or-later
"""Post-install hooks, in the initramfs or in the new system. Their signatures were checked before.

A hook is any program. It is told by its environment, documented in docs/hooks.md, and knows
neither token nor session nor server. Blocking: call it in a thread.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from swarmstrap.command import Completed
from swarmstrap.effects.run import run
from swarmstrap.effects.system.chroot import enter, inside
from swarmstrap.errors import StepFailed
from swarmstrap.hardware import Inventory
from swarmstrap.manifest import Manifest
from swarmstrap.overlays import words_of
from swarmstrap.steps import Plan
from swarmstrap.steps.storage import WipeDisk
from swarmstrap.wire import Hook, Job

# Beside the agent: dracut mounts /run so that nothing on it can be executed.
_PLACE = Path("/opt/swarmstrap/hooks")
_REPORTED_LINES = 20
_REPORTED_COLUMNS = 200
_BY_HAND = "run it by hand with swarmstrap.break=hooks"


def environment(
    hook: Hook, root: Path, inventory: Inventory, job: Job, manifest: Manifest, plan: Plan
) -> dict[str, str]:
    """What every hook may rely on; `SWARMSTRAP_ROOT` is where it finds the new system."""
    disks = [step.disk.name for step in plan.steps if isinstance(step, WipeDisk)]
    return words_of(job) | {
        "SWARMSTRAP_DEPLOYMENT": job.deployment,
        "SWARMSTRAP_IMAGE": manifest.name,
        "SWARMSTRAP_VERSION": manifest.version,
        "SWARMSTRAP_FIRMWARE": inventory.boot.current_boot_mode,
        "SWARMSTRAP_BOOT_MAC": inventory.boot.pxe_interface,
        "SWARMSTRAP_DISKS": " ".join(disks),
        "SWARMSTRAP_ROOT": "/" if hook.where == "chroot" else str(root),
    }


def run_hook(
    hook: Hook, root: Path, environment: Mapping[str, str], tell: Callable[[str], None]
) -> None:
    """Run it to its end, and tell its last lines. Raises StepFailed when it fails or is late."""
    try:
        if hook.where == "chroot":
            completed = _in_new_system(hook, root, environment)
        else:
            completed = run(
                [_write(hook, _PLACE)],
                timeout=hook.timeout,
                cwd="/",
                env=environment,
                check=False,
            )
    except StepFailed as error:
        raise StepFailed(
            f"hook {hook.name}: {error.message}",
            hint=f"{_BY_HAND}; hook_seconds of site.yaml is its limit",
        ) from error
    for line in _last_lines(completed):
        tell(f"{hook.name}: {line}")
    if completed.returncode:
        raise StepFailed(
            f"hook {hook.name} exited {completed.returncode}",
            hint=f"its last lines are in the events; {_BY_HAND}",
        )


def _in_new_system(hook: Hook, root: Path, environment: Mapping[str, str]) -> Completed:
    with enter(root) as system:
        # Its /run is a tmpfs of this visit: nothing of the hook stays behind.
        script = _write(hook, inside(root, "/run/swarmstrap-hook"))
        return system.run(
            [f"/run/swarmstrap-hook/{script.name}"],
            timeout=hook.timeout,
            env=environment,
            check=False,
        )


def _write(hook: Hook, folder: Path) -> Path:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / hook.name
    path.write_bytes(hook.content)
    os.chmod(path, 0o700)
    return path


def _last_lines(completed: Completed) -> list[str]:
    lines = (completed.stdout + completed.stderr).splitlines()
    clean = ("".join(c if c.isprintable() else "?" for c in line) for line in lines)
    return [line[:_REPORTED_COLUMNS] for line in clean][-_REPORTED_LINES:]
