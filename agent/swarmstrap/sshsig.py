# SPDX-License-Identifier: GPL-2.0-or-later
"""How a signature is checked with OpenSSH (SSHSIG): the command, and what its failure means."""

from pathlib import Path

from swarmstrap.errors import Untrusted
from swarmstrap.manifest import SIGNER


def verify_command(signature: Path, namespace: str, allowed_signers: Path) -> list[str]:
    """Reads the signed bytes from stdin; ends with 0 only for a signature of the publisher."""
    command = ["ssh-keygen", "-Y", "verify", "-I", SIGNER, "-n", namespace]
    return [*command, "-f", str(allowed_signers), "-s", str(signature)]


def not_signed(namespace: str, signature: bytes, said: str) -> Untrusted:
    """The error for a signature that `verify_command` did not accept; `said` is its stderr."""
    what = namespace.removeprefix("swarmstrap-")
    if signature:
        reason = said.strip().splitlines()[-1].rstrip(".") if said.strip() else "no reason given"
        message = f"the {what}'s signature does not hold: {reason}"
    else:
        message = f"the {what} has no signature"
    return Untrusted(
        message,
        hint="sign it with the publisher's key, or build the initramfs with that key's public half",
    )
