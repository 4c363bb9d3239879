# SPDX-License-Identifier: GPL-2.0-or-later
"""What is asked of one node in particular, and how it proves that it started. Pure."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from swarmstrap_server.lab.files import NodeFiles
from swarmstrap_server.lab.machines import VirtualNode


@dataclass(frozen=True, slots=True)
class Again:
    """A second deployment, by the YAML `layout`; the partition whose filesystem is called `keeps`
    has to be as it was, byte for byte.
    """

    layout: str
    keeps: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """`layout` is YAML, and empty for the rehearsal's own. `root` are the disks, by name, that the
    installed system lies on; with `removed` it starts once more without that one. `unlock` is the
    LUKS volume whose passphrase is typed at the console; `tpm_unlocks` is one that the TPM2 opens.
    It has to ask when the system starts once more with another TPM2. `network` is YAML, as a
    node's file has it, and `links` what the system has to say of the bonds, VLANs and bridges that
    this makes. `lacking` are the modules for which initramfs-tools has to make its initramfs anew.
    """

    layout: str = ""
    root: tuple[str, ...] = ("system",)
    removed: str = ""
    unlock: str = ""
    tpm_unlocks: str = ""
    network: str = ""
    links: str = ""
    lacking: str = ""
    again: Again | None = None

    @property
    def boots(self) -> int:
        """How often the system has to start from its own disks."""
        return 1 + bool(self.removed) + bool(self.tpm_unlocks) + bool(self.again)

    def layouts(self, node: str) -> Mapping[str, str]:
        """By name, as in a site's folder: that of the node, and that of its second deployment."""
        again = self.again.layout if self.again else ""
        named = {node: self.layout, second(node): again}
        return {name: text for name, text in named.items() if text}

    def disks(self, kept: NodeFiles, removed: str) -> list[str]:
        """The serials that the system has to name when it starts without `removed`."""
        return sorted(kept.disks[name].serial for name in self.root if name != removed)


def second(node: str) -> str:
    """What the layout of a node's second deployment is called."""
    return f"{node}-again"


def is_proof(
    line: str, nonce: str, disks: Collection[str], node: VirtualNode, trial: Trial
) -> bool:
    """Whether the installed system says so itself: nonce, disks, firmware, and what else there is
    to say of it.
    """
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
        "links": trial.links,
        "initramfs": trial.lacking,
        "sshd": "active",
    }
    return bool(said == proof)
