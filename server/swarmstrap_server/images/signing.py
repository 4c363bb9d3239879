# SPDX-License-Identifier: GPL-2.0-or-later
"""The publisher's key: OpenSSH signatures (SSHSIG): `ssh-keygen -Y verify` checks them."""

import os
from dataclasses import dataclass
from pathlib import Path

from swarmstrap import sshsig
from swarmstrap.errors import BadInput
from swarmstrap.manifest import HOOK_NAMESPACE, SIGNATURE_NAMESPACE, SIGNER
from swarmstrap.sshsig import Signers
from swarmstrap_server.run import run

# A key in an agent may ask a person.
_SECONDS = 120.0


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
        """The public half, as `KIND BASE64 COMMENT`."""
        public = self.path if self.path.suffix == ".pub" else Path(f"{self.path}.pub")
        return " ".join(public.read_text().split())

    def sign(self, data: bytes, namespace: str) -> bytes:
        """A detached, armoured signature."""
        if not self.path.is_file():
            raise BadInput(
                f"the publisher's key {self.path} does not exist",
                hint="name the key, or make one with `swarmstrap init`",
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
        """The line that makes this key the publisher's, for images and hooks and nothing else."""
        return f'{SIGNER} namespaces="{SIGNATURE_NAMESPACE},{HOOK_NAMESPACE}" {self.public}\n'


def verify(data: bytes, signature: bytes, *, namespace: str, signers: Signers) -> None:
    """As `sshsig.verify`, through the server's door for commands."""
    sshsig.verify(data, signature, namespace=namespace, signers=signers, run=run)
