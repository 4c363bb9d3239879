# SPDX-License-Identifier: GPL-2.0-or-later
"""The publisher's signatures (SSHSIG), checked by OpenSSH's own program: on nodes and on the
server by the same lines, so that neither takes what the other refuses.

`ssh-keygen -Y verify` says no more than no. Why, is found out here, for people, afterwards.
"""

import base64
import binascii
import hashlib
import re
import struct
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from swarmstrap.command import Argument, Completed
from swarmstrap.errors import BadInput, Untrusted
from swarmstrap.manifest import SIGNER

_SECONDS = 30.0
_MAGIC = b"SSHSIG"
_KIND = re.compile(rb"[a-z0-9@.-]+")
_BEGIN, _END = b"-----BEGIN SSH SIGNATURE-----", b"-----END SSH SIGNATURE-----"


@dataclass(frozen=True, slots=True)
class Signers:
    """Two files: the keys `allowed` to sign, as in ALLOWED SIGNERS of ssh-keygen(1), and those
    among them that were `revoked`, public keys or a KRL. There may be no file of the second kind.
    """

    allowed: Path
    revoked: Path


class Door(Protocol):
    """The way to run a command, which node and server each have of their own."""

    def __call__(
        self, argv: Sequence[Argument], *, timeout: float, stdin: bytes | None, check: bool
    ) -> Completed: ...


def verify(data: bytes, signature: bytes, *, namespace: str, signers: Signers, run: Door) -> None:
    """Raises Untrusted unless `signature` is the publisher's over `data` for this `namespace`,
    BadInput when there are no keys to compare with. Blocking.
    """
    _check_keys(signers.allowed)
    with tempfile.NamedTemporaryFile(prefix="signature-") as file:
        file.write(signature)
        file.flush()
        command = verify_command(Path(file.name), namespace, signers)
        completed = run(command, timeout=_SECONDS, stdin=data, check=False)
    if completed.returncode:
        raise _not_signed(signature, namespace, signers)


def verify_command(signature: Path, namespace: str, signers: Signers) -> list[str]:
    """Reads the signed bytes from stdin; ends with 0 only for a signature of the publisher."""
    command = ["ssh-keygen", "-Y", "verify", "-I", SIGNER, "-n", namespace]
    command += ["-f", str(signers.allowed), "-s", str(signature)]
    # ssh-keygen accepts nothing when it is told of a list that does not exist.
    return [*command, "-r", str(signers.revoked)] if signers.revoked.exists() else command


def signer(signature: bytes) -> str:
    """The public key that a signature claims to be of, as `KIND BASE64`; "" when it is none."""
    try:
        armour = signature[signature.index(_BEGIN) + len(_BEGIN) : signature.index(_END)]
        blob = base64.b64decode(armour)
        key, _ = _take(blob[len(_MAGIC) + 4 :])
        kind, _ = _take(key)
        if blob.startswith(_MAGIC) and _KIND.fullmatch(kind):
            return f"{kind.decode()} {base64.b64encode(key).decode()}"
    except (ValueError, struct.error, binascii.Error):
        pass
    return ""


def fingerprint(key: str) -> str:
    """`SHA256:...` of a public key that begins `KIND BASE64`, as `ssh-keygen -l` prints it."""
    digest = hashlib.sha256(base64.b64decode(key.split()[1])).digest()
    return f"SHA256:{base64.b64encode(digest).decode().rstrip('=')}"


def _check_keys(allowed: Path) -> None:
    try:
        keys = allowed.read_bytes()
    except OSError as error:
        raise BadInput(
            f"cannot read the publisher's keys {allowed}: {error.strerror}",
            hint="swarmstrap init makes a site's keys, swarmstrap initramfs takes them to nodes",
        ) from error
    if not keys.strip():
        raise BadInput(
            f"there is no key in {allowed}",
            hint="allow one: swarmstrap key add; then build the initramfs again",
        )


def _not_signed(signature: bytes, namespace: str, signers: Signers) -> Untrusted:
    what = namespace.removeprefix("swarmstrap-")
    again = "sign it with the publisher's key"
    if not signature:
        return Untrusted(f"the {what} has no signature", hint=again)
    refused = f"the {what}'s signature does not hold"
    key = signer(signature)
    if not key:
        return Untrusted(f"{refused}: it is no SSH signature", hint=again)
    name = fingerprint(key)
    if _lists(signers.revoked, key):
        return Untrusted(f"{refused}: it is of key {name}, which was revoked", hint=again)
    if not _lists(signers.allowed, key):
        return Untrusted(
            f"{refused}: it is of key {name}, which is none of the publisher's",
            hint=f"{again}, or allow that key: swarmstrap key add, then swarmstrap initramfs",
        )
    return Untrusted(
        f"{refused}: the {what} is not what key {name} signed",
        hint=f"somebody changed it, or it was not signed as {namespace}; {again}",
    )


def _lists(path: Path, key: str) -> bool:
    return path.exists() and key.encode() in path.read_bytes()


def _take(data: bytes) -> tuple[bytes, bytes]:
    """An SSH string at the start of `data`, and what follows it (RFC 4251, section 5)."""
    (length,) = struct.unpack_from(">I", data)
    if len(data) < 4 + length:
        raise ValueError("a string that does not end")
    return data[4 : 4 + length], data[4 + length :]
