# SPDX-License-Identifier: GPL-2.0-or-later
"""Signatures are checked by OpenSSH's own program, against the keys baked into the initramfs."""

import tempfile
from pathlib import Path

from swarmstrap.effects.run import run
from swarmstrap.errors import BadInput
from swarmstrap.sshsig import not_signed, verify_command

# Baked into the initramfs: the two roots of trust.
CA = Path("/etc/swarmstrap/ca.crt")
ALLOWED_SIGNERS = Path("/etc/swarmstrap/allowed_signers")

_SECONDS = 30.0


def verify_signature(
    data: bytes, signature: bytes, *, namespace: str, allowed_signers: Path
) -> None:
    """Raises Untrusted unless `signature` (SSHSIG) is the publisher's over `data`, BadInput when
    there are no keys to compare with. Blocking.
    """
    try:
        keys = allowed_signers.read_bytes()
    except OSError as error:
        raise BadInput(
            f"cannot read the publisher's keys {allowed_signers}: {error.strerror}",
            hint="build the initramfs again",
        ) from error
    if not keys.strip():
        raise BadInput(
            f"there is no key in {allowed_signers}",
            hint="put the publisher's key into the site and build the initramfs again",
        )
    with tempfile.NamedTemporaryFile(prefix="signature-") as file:
        file.write(signature)
        file.flush()
        command = verify_command(Path(file.name), namespace, allowed_signers)
        completed = run(command, timeout=_SECONDS, stdin=data, check=False)
    if completed.returncode:
        raise not_signed(namespace, signature, completed.stderr or completed.stdout)
