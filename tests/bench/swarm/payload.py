# SPDX-License-Identifier: GPL-2.0-or-later
"""What every system sends: the payload of one image, of bytes that do not compress."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import libtorrent as lt
from tests.bench.links import Machine

from swarmstrap.manifest import PAYLOAD_FILE
from swarmstrap_server.images.library import ImageStore
from swarmstrap_server.images.publish import Published, publish
from swarmstrap_server.images.signing import Key
from swarmstrap_server.images.sources.directory import Directory
from swarmstrap_server.images.torrents import piece_length
from swarmstrap_server.site import making
from swarmstrap_server.site.paths import SitePaths

TRACKER_PORT = 8080


@dataclass(frozen=True, slots=True)
class Payload:
    """`classic` is a torrent of the payload alone for clients that know nothing of BEP 52, with
    pieces as long as in the image's own, and `classic_hash` its infohash in hex; `unpacked` is the
    one large file in the image.
    """

    site: SitePaths
    image: Published
    classic: Path
    classic_hash: str
    unpacked: Path

    @property
    def file(self) -> Path:
        return self.image.directory / PAYLOAD_FILE

    @property
    def size(self) -> int:
        return self.image.manifest.payload.size


def make(folder: Path, server: Machine, size: int) -> Payload:
    """A new site with an image of one program and `size` bytes, in a folder that exists."""
    tree = folder / "tree"
    (tree / "bin").mkdir(parents=True)
    shutil.copy("/bin/true", tree / "bin/sh")
    (tree / "data").write_bytes(os.urandom(size))
    making.init(folder / "site", "bench", [str(server.address)], None)
    paths = SitePaths(folder / "site")
    store, key = ImageStore(paths.images), Key(paths.publisher)
    image = publish(Directory(tree), "bench", "1", store, key, strip=())
    classic = folder / "classic.torrent"
    classic.write_bytes(_classic(image.directory / PAYLOAD_FILE, tracker(server)))
    infohash = str(lt.load_torrent_file(os.fspath(classic)).info_hashes.v1)
    return Payload(paths, image, classic, infohash, tree / "data")


def tracker(server: Machine) -> str:
    return f"http://{server.address}:{TRACKER_PORT}/announce"


def _classic(file: Path, announce: str) -> bytes:
    size = file.stat().st_size
    entry = lt.create_file_entry(file.name, size)
    creator = lt.create_torrent([entry], piece_length(size), lt.create_torrent.v1_only)
    creator.set_priv(True)
    creator.add_tracker(announce)
    lt.set_piece_hashes(creator, os.fspath(file.parent))
    return bytes(lt.bencode(creator.generate()))
