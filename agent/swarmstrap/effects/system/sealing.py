# SPDX-License-Identifier: GPL-2.0-or-later
"""A key in the node's TPM2, made by the installed system's own program: the one that made it is
of the version that will ask for it. The secret that admits to the volume is on no command line.
"""

import json
from pathlib import Path

from swarmstrap.command import CommandFailed
from swarmstrap.effects.disks import volumes
from swarmstrap.effects.system.chroot import Chroot, enter
from swarmstrap.errors import StepFailed
from swarmstrap.steps.system import SealKey

# A TPM computes its primary key anew, which an old one takes a minute for.
_SECONDS = 300.0


def seal(step: SealKey, secret: str, root: Path) -> None:
    """Keys of an earlier deployment that the TPM2 had for the volume are taken away."""
    node = volumes.node(step.device)
    with enter(root) as system:
        try:
            if step.unlocker == "systemd":
                # It does not read the secret from a pipe. What it takes of its environment, it
                # erases there.
                argv = cryptenroll_arguments(step, node)
                system.run(argv, env={"PASSWORD": secret}, timeout=_SECONDS)
            else:
                _bind(system, step, node, secret)
        except CommandFailed as error:
            raise StepFailed(
                f"the TPM2 takes no key of {step.volume}: {error.message}",
                hint="clear it in the firmware's setup, or write `key: server`",
            ) from error


def cryptenroll_arguments(step: SealKey, node: str) -> list[str]:
    """systemd-cryptenroll(1); it wipes the slot only once the new key is there."""
    pcrs = "+".join(map(str, step.pcrs))
    command = ["systemd-cryptenroll", "--wipe-slot=tpm2", "--tpm2-device=auto"]
    return [*command, f"--tpm2-pcrs={pcrs}", node]


def bind_arguments(step: SealKey, node: str) -> list[str]:
    """clevis-luks-bind(1), clevis-encrypt-tpm2(1)."""
    policy = {"pcr_bank": "sha256", "pcr_ids": ",".join(map(str, step.pcrs))} if step.pcrs else {}
    command = ["clevis", "luks", "bind", "-y", "-k", "-", "-d", node]
    return [*command, "tpm2", json.dumps(policy)]


def _bind(system: Chroot, step: SealKey, node: str, secret: str) -> None:
    listed = system.run(["clevis", "luks", "list", "-d", node], timeout=_SECONDS, check=False)
    system.run(bind_arguments(step, node), stdin=secret.encode(), timeout=_SECONDS)
    for line in listed.stdout.splitlines():
        # `1: tpm2 '{...}'`, and a slot of another pin is somebody else's.
        slot, _, pin = line.partition(":")
        if pin.strip().startswith("tpm2 "):
            unbind = ["clevis", "luks", "unbind", "-f", "-d", node, "-s", slot]
            system.run(unbind, timeout=_SECONDS)
