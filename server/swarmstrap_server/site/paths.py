# SPDX-License-Identifier: GPL-2.0-or-later
"""Where everything of a site lies."""

from dataclasses import dataclass
from pathlib import Path

from swarmstrap.sshsig import Signers

SIGNATURE_SUFFIX = ".sig"


@dataclass(frozen=True, slots=True)
class SitePaths:
    """Names below `root`; nothing is created or looked at here."""

    root: Path

    @property
    def settings(self) -> Path:
        return self.root / "site.yaml"

    @property
    def keys(self) -> Path:
        return self.root / "keys"

    @property
    def ca_key(self) -> Path:
        return self.keys / "ca.key"

    @property
    def ca_certificate(self) -> Path:
        return self.keys / "ca.crt"

    @property
    def server_key(self) -> Path:
        return self.keys / "server.key"

    @property
    def server_certificate(self) -> Path:
        return self.keys / "server.crt"

    @property
    def publisher(self) -> Path:
        """The publisher's private key; absent where signing happens on another machine."""
        return self.keys / "publisher"

    @property
    def next_publisher(self) -> Path:
        """The key that will sign after a rotation; its signatures count already."""
        return self.keys / "publisher-next"

    @property
    def allowed_signers(self) -> Path:
        return self.keys / "allowed_signers"

    @property
    def revoked_keys(self) -> Path:
        """Public keys that sign nothing any more; absent while there are none."""
        return self.keys / "revoked_keys"

    @property
    def signers(self) -> Signers:
        return Signers(self.allowed_signers, self.revoked_keys)

    def secret(self, node: str, volume: str) -> Path:
        """The passphrase of a LUKS volume of one node."""
        return self.keys / "nodes" / node / volume

    @property
    def overlays(self) -> Path:
        """A folder of files for each overlay, its table and its signature beside it."""
        return self.root / "overlays"

    @property
    def floors(self) -> Path:
        """What is too old to be deployed; absent while nothing is."""
        return self.root / "floors.yaml"

    @property
    def discovery(self) -> Path:
        """What to call machines that no file knows; absent where nobody says."""
        return self.root / "discovery.yaml"

    @property
    def images(self) -> Path:
        return self.root / "images"

    @property
    def boot(self) -> Path:
        return self.root / "boot"

    @property
    def kernel(self) -> Path:
        return self.boot / "vmlinuz"

    @property
    def initramfs(self) -> Path:
        return self.boot / "initramfs.img"

    @property
    def database(self) -> Path:
        return self.root / "state" / "swarmstrap.db"

    @property
    def mirrors(self) -> Path:
        """Copies of the machines that images were captured from."""
        return self.root / "state" / "mirrors"

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def socket(self) -> Path:
        return self.run / "operator.sock"
