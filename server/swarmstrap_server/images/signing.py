# SPDX-License-Identifier: GPL-2.0-or-later
"""The publisher's key: OpenSSH signatures (SSHSIG): `ssh-keygen -Y verify` checks them."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from swarmstrap import sshsig
from swarmstrap.errors import BadInput
from swarmstrap.manifest import HOOK_NAMESPACE, OVERLAY_NAMESPACE, SIGNATURE_NAMESPACE, SIGNER
from swarmstrap.sshsig import Signers
from swarmstrap_server.run import run

# A key in an agent may ask a person.
_SECONDS = 120.0
_HINT = "name the key, or make one with `swarmstrap init`"
# `KIND BASE64` and a comment, as in a .pub file and at the end of a line of allowed_signers.
PUBLIC = re.compile(r"((?:ssh|ecdsa|sk)-\S+ AAAA[0-9A-Za-z+/]+=*)(?: +(.+))?")


@dataclass(frozen=True, slots=True)
class Key:
    """A private key file; or a public one (`.pub`) whose private half an ssh-agent holds."""

    path: Path

    @classmethod
    def generate(cls, path: Path) -> "Key":
        """A new Ed25519 key at `path`, without a passphrase; its public half beside it."""
        if path.exists():
            raise BadInput(f"{path} exists already", hint="keep the key, or move it away")
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", SIGNER, "-f", str(path)]
        run(command, timeout=_SECONDS)
        return cls(path)

    @property
    def public(self) -> str:
        """The public half, as `KIND BASE64 COMMENT`; raises BadInput when it cannot be read."""
        public = public_half(self.path)
        try:
            found = PUBLIC.match(public.read_text())
        except (OSError, UnicodeDecodeError) as error:
            raise BadInput(f"cannot read the key {public}: {error}", hint=_HINT) from error
        if found is None:
            raise BadInput(f"{public} is no public key", hint="name the .pub file of an SSH key")
        return found[0].strip()

    def sign(self, data: bytes, namespace: str) -> bytes:
        """A detached, armoured signature."""
        if not self.path.is_file():
            raise BadInput(
                f"the publisher's key {self.path} does not exist",
                hint=_HINT,
            )
        agent = os.environ.get("SSH_AUTH_SOCK")
        completed = run(
            ["ssh-keygen", "-q", "-Y", "sign", "-f", self.path, "-n", namespace],
            timeout=_SECONDS,
            stdin=data,
            env={"SSH_AUTH_SOCK": agent} if agent else None,
        )
        return completed.stdout.encode()

    def allowed_signers(self) -> str:
        """The line that makes this key the publisher's, for images, hooks and overlays, and nothing
        else.
        """
        namespaces = ",".join((SIGNATURE_NAMESPACE, HOOK_NAMESPACE, OVERLAY_NAMESPACE))
        return f'{SIGNER} namespaces="{namespaces}" {self.public}\n'


def public_half(path: Path) -> Path:
    """Where the public half of the key at `path` is; of a `.pub`, itself."""
    return path if path.suffix == ".pub" else path.with_name(f"{path.name}.pub")


def claimed(signature: bytes) -> str:
    """The fingerprint of whoever claims to have signed; "" when that cannot be told."""
    key = sshsig.signer(signature)
    return sshsig.fingerprint(key) if key else ""


def verify(data: bytes, signature: bytes, *, namespace: str, signers: Signers) -> None:
    """As `sshsig.verify`, through the server's door for commands."""
    sshsig.verify(data, signature, namespace=namespace, signers=signers, run=run)
