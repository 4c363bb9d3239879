# SPDX-License-Identifier: GPL-2.0-or-later
"""What is asked of one node in particular, and how it proves that it started. Pure."""

import json
from collections.abc import Collection
from dataclasses import dataclass

from swarmstrap_server.lab.files import NodeFiles
from swarmstrap_server.lab.machines import VirtualNode


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """`layout` is YAML, and empty for the rehearsal's own. `root` are the disks, by name, that the
    installed system lies on; with `removed` it starts once more without that one. `unlock` is the
    LUKS volume whose passphrase is typed at the console.
    """

    layout: str = ""
    root: tuple[str, ...] = ("system",)
    removed: str = ""
    unlock: str = ""

    def disks(self, kept: NodeFiles, removed: str) -> list[str]:
        """The serials that the system has to name when it starts without `removed`."""
        return sorted(kept.disks[name].serial for name in self.root if name != removed)


def is_proof(line: str, nonce: str, disks: Collection[str], node: VirtualNode) -> bool:
    """Whether the installed system says so itself: nonce, disks, firmware, and a running sshd."""
    try:
        said = json.loads(line)
    except ValueError:
        return False
    proof: object = {
        "nonce": nonce,
        "hostname": node.name,
        "disks": " ".join(sorted(disks)),
        "firmware": node.firmware,
        "secure_boot": int(node.secure_boot),
        "sshd": "active",
    }
    return bool(said == proof)
