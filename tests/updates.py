# SPDX-License-Identifier: GPL-2.0-or-later
"""Updating a tree from an image's folder; as a program that can be killed, too. It says `begun`
before it changes anything.

python -m tests.updates ROOT FOLDER [--checksum]
"""

import asyncio
import sys
from pathlib import Path

from swarmstrap.difference import Changes
from swarmstrap.effects.images.unpack import Writers
from swarmstrap.effects.images.updating import ExistingTree, Terms
from swarmstrap.effects.images.zstd import load_index
from swarmstrap.manifest import INDEX_FILE, MANIFEST_FILE, PAYLOAD_FILE, parse_manifest
from swarmstrap.preserving import Rules


async def updated(
    root: Path, folder: Path, *patterns: str, checksum: bool = False
) -> tuple[Changes, list[str]]:
    """What was done, and what was told."""
    told: list[str] = []
    index = load_index(folder / INDEX_FILE, parse_manifest((folder / MANIFEST_FILE).read_bytes()))
    writers = Writers.start(2)
    try:
        terms = Terms(Rules(patterns), checksum=checksum)
        tree = ExistingTree(root, terms, told.append, lambda: print("begun", flush=True))
        await tree.begin(writers, folder / PAYLOAD_FILE, index)
        async with asyncio.TaskGroup() as tasks:
            for frame in tree.wanted(index):
                tasks.create_task(writers.write(frame))
        await writers.finish()
    finally:
        await writers.stop()
    tree.describe()
    tree.tidy()
    return tree.findings.changes, told


if __name__ == "__main__":
    asyncio.run(updated(Path(sys.argv[1]), Path(sys.argv[2]), checksum="--checksum" in sys.argv))
