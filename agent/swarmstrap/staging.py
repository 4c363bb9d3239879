# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether a node's memory holds the compressed image, which is served while it is written."""

from swarmstrap.hardware import Inventory
from swarmstrap.manifest import Manifest
from swarmstrap.units import Bytes, MiB, human

# Initramfs and agent take about 450 MiB of a node's memory (measured); the rest is page cache to
# write through. A node of 1 GiB, of which Linux reports 960 MiB, keeps a payload of 320 MiB.
MEMORY_RESERVED = 640 * MiB


def staged_size(manifest: Manifest) -> Bytes:
    return Bytes(manifest.payload.size + manifest.index.size)


def memory_room(inventory: Inventory) -> Bytes:
    """What memory has for staged files."""
    return Bytes(max(0, inventory.memory.total - MEMORY_RESERVED))


def fits_memory(inventory: Inventory, manifest: Manifest) -> bool:
    return staged_size(manifest) <= memory_room(inventory)


def memory_beside(inventory: Inventory, manifest: Manifest) -> Bytes:
    """What memory has for other files beside the staged ones, 0 when those do not fit."""
    return Bytes(max(0, memory_room(inventory) - staged_size(manifest)))


def too_large_for_memory(inventory: Inventory, manifest: Manifest) -> str:
    """The beginning of a sentence, up to `neither`."""
    return (
        f"the compressed image ({human(staged_size(manifest))}) fits neither into "
        f"{human(inventory.memory.total)} of memory beside {human(MEMORY_RESERVED)} for the agent"
    )
