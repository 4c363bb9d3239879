# SPDX-License-Identifier: GPL-2.0-or-later
"""Signatures are checked by OpenSSH's own program, against the keys baked into the initramfs."""

import tempfile
from pathlib import Path

from swarmstrap.effects.run import run
from swarmstrap.sshsig import not_signed, verify_command

_SECONDS = 30.0


def verify_signature(
    data: bytes, signature: bytes, *, namespace: str, allowed_signers: Path
) -> None:
    """Raises Untrusted unless `signature` (SSHSIG) is the publisher's over `data`. Blocking."""
    with tempfile.NamedTemporaryFile(prefix="signature-") as file:
        file.write(signature)
        file.flush()
        command = verify_command(Path(file.name), namespace, allowed_signers)
        completed = run(command, timeout=_SECONDS, stdin=data, check=False)
    if completed.returncode:
        raise not_signed(namespace, signature, completed.stderr or completed.stdout)
