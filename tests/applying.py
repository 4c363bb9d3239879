# SPDX-License-Identifier: GPL-2.0-or-later
"""A tree into an image, and an image into a tree, as a server and a node do it."""

import asyncio
import os
import random
from pathlib import Path

from swarmstrap.effects.images.unpack import Writers
from swarmstrap.effects.images.writer import Tree
from swarmstrap.effects.images.zstd import load_index
from swarmstrap.manifest import INDEX_FILE, PAYLOAD_FILE, Manifest
from swarmstrap_server.images.library import ImageStore
from swarmstrap_server.images.publish import Published, publish
from swarmstrap_server.images.signing import Key
from swarmstrap_server.images.sources.directory import Directory


def captured(source: Path, folder: Path) -> Published:
    """All of `source`, nothing stripped, as an image in the new `folder`."""
    key = Key.generate(folder / "publisher")
    return publish(
        Directory(source), "tree", "1", ImageStore(folder / "images"), key, level=1, strip=()
    )


async def applied(directory: Path, manifest: Manifest, target: Path, seed: int = 1) -> None:
    """The image in `directory` into `target`, its frames in an order that `seed` makes."""
    index = load_index(directory / INDEX_FILE, manifest)
    order = list(range(len(index.frames)))
    random.Random(seed).shuffle(order)
    writers = Writers.start(2)
    try:
        await writers.open(Tree(os.fsencode(target)), directory / PAYLOAD_FILE, index)
        await writers.skeleton()
        async with asyncio.TaskGroup() as tasks:
            for frame in order:
                tasks.create_task(writers.write(frame))
        await writers.finish()
    finally:
        await writers.stop()
