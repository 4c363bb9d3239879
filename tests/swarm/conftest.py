# SPDX-License-Identifier: GPL-2.0-or-later
"""A published image with one of everything in it, and its torrent."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.swarm.peers import make_files
from tests.trees import nasty_system, scratch

from swarmstrap.effects.transfer.swarm import Torrent, load
from swarmstrap.manifest import TORRENT_FILE
from swarmstrap_server.images.library import ImageStore
from swarmstrap_server.images.publish import Published, publish
from swarmstrap_server.images.signing import Key
from swarmstrap_server.images.sources.directory import Directory


@pytest.fixture(scope="session")
def place() -> Iterator[Path]:
    with scratch() as path:
        yield path


@pytest.fixture(scope="session")
def image(place: Path) -> Published:
    (place / "source").mkdir()
    nasty_system(place / "source")
    key = Key.generate(place / "publisher")
    store = ImageStore(place / "images")
    return publish(Directory(place / "source"), "nasty", "1", store, key, level=1, strip=())


@pytest.fixture
def torrent(image: Published) -> Torrent:
    return load((image.directory / TORRENT_FILE).read_bytes(), image.manifest.infohash)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files of an image that is nothing but bytes."""
    make_files(tmp_path / "image")
    return tmp_path / "image"
