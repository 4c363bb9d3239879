# SPDX-License-Identifier: GPL-2.0-or-later
"""A place to publish small images in."""

import os
from pathlib import Path

from tests.trees import small_system

from swarmstrap.sshsig import Signers
from swarmstrap_server.images.library import Image, ImageStore
from swarmstrap_server.images.publish import publish
from swarmstrap_server.images.signing import Key
from swarmstrap_server.images.sources.directory import Directory


class Site:
    """A source, a key and a store."""

    def __init__(self, folder: Path) -> None:
        self.source = folder / "source"
        small_system(self.source)
        (self.source / "data").write_bytes(os.urandom(1 << 20))
        self.key = Key.generate(folder / "publisher")
        allowed = folder / "allowed_signers"
        self.signers = Signers(allowed, folder / "revoked_keys")
        allowed.write_text(self.key.allowed_signers())
        self.store = ImageStore(folder / "images")

    def publish(self, name: str = "system", version: str | None = None) -> Path:
        return publish(
            Directory(self.source), name, version, self.store, self.key, level=1
        ).directory

    def image(self, name: str = "system", version: str = "1") -> Image:
        """The same, as it is read from the store."""
        self.publish(name, version)
        return self.store.get(name, version)
