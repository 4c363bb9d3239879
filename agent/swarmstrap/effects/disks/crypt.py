# SPDX-License-Identifier: GPL-2.0-or-later
"""LUKS2 volumes. The secret goes in by stdin: it is on no command line, and in no log."""

from swarmstrap.effects.disks import volumes
from swarmstrap.effects.run import run
from swarmstrap.steps.storage import MakeCrypt

_SECONDS = 300.0
# RFC 9106, 4: the second recommended choice, 64 MiB, which any node has; cryptsetup takes no fewer
# than 4 passes. The secret is random, so nothing is gained by measuring what this node can bear.
_PBKDF = (
    *("--pbkdf=argon2id", "--pbkdf-memory=65536"),
    *("--pbkdf-parallel=4", "--pbkdf-force-iterations=4"),
)


def make(step: MakeCrypt, secret: str) -> None:
    """Encrypt the device and open it."""
    node = volumes.node(step.device)
    volumes.clear(node)
    run(format_arguments(step, node), stdin=secret.encode(), timeout=_SECONDS)
    _open(step, node, secret)


def open_again(step: MakeCrypt, secret: str) -> None:
    """Raises CommandFailed when the secret is another deployment's."""
    _open(step, volumes.node(step.device), secret)


def format_arguments(step: MakeCrypt, node: str) -> list[str]:
    command = ["cryptsetup", "luksFormat", "--batch-mode", "--type=luks2", "--key-file=-"]
    return [*command, *_PBKDF, f"--uuid={step.volume.uuid}", node]


def open_arguments(step: MakeCrypt, node: str) -> list[str]:
    return ["cryptsetup", "open", "--type=luks2", "--key-file=-", node, step.volume.name]


def _open(step: MakeCrypt, node: str, secret: str) -> None:
    run(open_arguments(step, node), stdin=secret.encode(), timeout=_SECONDS)
