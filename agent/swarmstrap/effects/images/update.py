# SPDX-License-Identifier: GPL-2.0-or-later
"""An update of a node's own system, from the first look at its record to GRUB."""

from collections.abc import Callable
from pathlib import Path

from swarmstrap.deployed import check_identity, check_update
from swarmstrap.effects.images.updating import ExistingTree, Terms
from swarmstrap.effects.system import records
from swarmstrap.manifest import Manifest
from swarmstrap.placing import Identity
from swarmstrap.preserving import Rules
from swarmstrap.steps.image import UpdateTree


class Update:
    """`check` comes first; `tree` is then the destination of a fetch."""

    def __init__(
        self, root: Path, step: UpdateTree, manifest: Manifest, tell: Callable[[str], None]
    ) -> None:
        self._root = root
        self._step = step
        self._manifest = manifest
        self._interrupted = False
        terms = Terms(
            Rules(step.preserve), step.mounts, step.checksum, staged_inside=step.staging == "target"
        )
        self.tree = ExistingTree(root, terms, tell, self._begin)

    def check(self) -> None:
        """Raises Refused unless the system is this node's and not a newer one. Blocking."""
        found = records.read(self._root)
        check_identity(found, Identity(self._step.deployment, self._step.node))
        check_update(found, self._manifest, allow_older=self._step.allow_older)
        self._interrupted = records.interrupted(self._root)

    @property
    def grub_differs(self) -> bool:
        """After an update that was interrupted nobody knows how far GRUB had come."""
        return self._interrupted or self.tree.findings.changes_grub

    def _begin(self) -> None:
        records.begin(self._root, f"{self._manifest.name} {self._manifest.version}")
