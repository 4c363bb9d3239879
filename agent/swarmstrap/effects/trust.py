# SPDX-License-Identifier: GPL-2.0-or-later
"""What was baked into the initramfs: the site's CA, the publisher's keys, what is too old."""

from pathlib import Path

from swarmstrap import floors, sshsig
from swarmstrap.effects.run import run
from swarmstrap.errors import BadInput
from swarmstrap.floors import Floors
from swarmstrap.sshsig import Signers

CA = Path("/etc/swarmstrap/ca.crt")
SIGNERS = Signers(
    allowed=Path("/etc/swarmstrap/allowed_signers"), revoked=Path("/etc/swarmstrap/revoked_keys")
)
FLOORS = Path("/etc/swarmstrap/floors.json")


def verify_signature(data: bytes, signature: bytes, *, namespace: str, signers: Signers) -> None:
    """As `sshsig.verify`, through the node's door for commands."""
    sshsig.verify(data, signature, namespace=namespace, signers=signers, run=run)


def read_floors(path: Path) -> Floors:
    """Without a file nothing is too old; raises BadInput for one that cannot be read."""
    try:
        return floors.decode(path.read_bytes(), str(path))
    except FileNotFoundError:
        return Floors()
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror}") from error
