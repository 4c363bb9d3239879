# SPDX-License-Identifier: GPL-2.0-or-later
"""The images of a site: `ROOT/NAME/VERSION/`, each complete from the moment it can be seen."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from swarmstrap.errors import BadInput, SwarmstrapError, Untrusted
from swarmstrap.index import check, decode
from swarmstrap.manifest import (
    INDEX_FILE,
    MANIFEST_FILE,
    PAYLOAD_FILE,
    SIGNATURE_FILE,
    SIGNATURE_NAMESPACE,
    TORRENT_FILE,
    Manifest,
    parse_manifest,
)
from swarmstrap.sshsig import Signers
from swarmstrap_server.images import compress, signing
from swarmstrap_server.images.facts import natural
from swarmstrap_server.images.names import check_name
from swarmstrap_server.images.torrents import make_torrent, read_infohash, torrent_name
from swarmstrap_server.images.workspace import discard

FILES = (MANIFEST_FILE, SIGNATURE_FILE, TORRENT_FILE, INDEX_FILE, PAYLOAD_FILE)

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Image:
    """A published image; its manifest was read, not verified."""

    manifest: Manifest
    directory: Path

    @property
    def label(self) -> str:
        return f"{self.manifest.name}:{self.manifest.version}"


class ImageStore:
    def __init__(self, root: Path) -> None:
        self.root = root

    def ls(self, name: str | None = None) -> list[Image]:
        """All images, or all versions of one: by name, oldest first."""
        images = []
        for directory in sorted(self.root.glob(f"{name or '[!.]*'}/[!.]*")):
            if (directory / MANIFEST_FILE).is_file():
                images.append(_read(directory))
        return sorted(images, key=_age)

    def get(self, name: str, version: str | None = None) -> Image:
        """Raises BadInput when there is no such image; without a version it is the latest."""
        check_name(name, "an image")
        if version is None:
            return self.latest(name)
        directory = self.place(name, version)
        if not (directory / MANIFEST_FILE).is_file():
            raise self._missing(name, version)
        return _read(directory)

    def latest(self, name: str) -> Image:
        """The version created last."""
        images = self.ls(check_name(name, "an image"))
        if not images:
            raise self._missing(name, "")
        return images[-1]

    def rm(self, name: str, version: str) -> None:
        discard(self.get(name, version).directory)

    def place(self, name: str, version: str) -> Path:
        """Where this version is, or would be."""
        return self.root / check_name(name, "an image") / check_name(version, "a version")

    def next_version(self, name: str, day: str) -> str:
        """`DAY.N`, one above the highest N of this day."""
        taken = (path.name.rpartition(".") for path in self.root.glob(f"{name}/{day}.*"))
        numbers = [int(number) for begin, _, number in taken if begin == day and number.isdigit()]
        return f"{day}.{max(numbers, default=0) + 1}"

    def _missing(self, name: str, version: str) -> BadInput:
        wanted = f"{name}:{version}" if version else name
        known = ", ".join(image.label for image in self.ls()) or "none"
        return BadInput(f"there is no image {wanted}", hint=f"images of this site: {known}")


def verify(image: Image, signers: Signers, progress: Progress = lambda done, total: None) -> None:
    """Everything that a node will rely on: signature, digests of the files and of every frame, the
    index, the torrent. Raises Untrusted. `progress` gets bytes of the payload, done and in all.
    """
    directory = image.directory
    missing = [name for name in FILES if not (directory / name).is_file()]
    if missing:
        raise Untrusted(
            f"{image.label} has no {' and no '.join(missing)}", hint="publish the image again"
        )
    data = (directory / MANIFEST_FILE).read_bytes()
    signature = (directory / SIGNATURE_FILE).read_bytes()
    signing.verify(data, signature, namespace=SIGNATURE_NAMESPACE, signers=signers)
    manifest = parse_manifest(data)
    if (manifest.name, manifest.version) != (directory.parent.name, directory.name):
        raise _differs(image, MANIFEST_FILE, f"it is {manifest.name} {manifest.version}'s")
    _verify_torrent(image, manifest)
    index_data = (directory / INDEX_FILE).read_bytes()
    if hashlib.sha256(index_data).hexdigest() != manifest.index.sha256:
        raise _differs(image, INDEX_FILE, "its sha256 is not the manifest's")
    index = decode(compress.decompress(index_data))
    check(index, manifest)
    whole = hashlib.sha256()
    with (directory / PAYLOAD_FILE).open("rb") as file:
        for number, frame in enumerate(index.frames):
            part = file.read(frame.length)
            whole.update(part)
            if hashlib.sha256(part).digest() != frame.sha256:
                raise _differs(image, PAYLOAD_FILE, f"frame {number} does not have its sha256")
            if len(compress.decompress(part)) != frame.unpacked:
                raise _differs(image, PAYLOAD_FILE, f"frame {number} has another size")
            progress(frame.offset + frame.length, manifest.payload.size)
        if file.read(1) or whole.hexdigest() != manifest.payload.sha256:
            raise _differs(image, PAYLOAD_FILE, "its sha256 is not the manifest's")


def _verify_torrent(image: Image, manifest: Manifest) -> None:
    data = (image.directory / TORRENT_FILE).read_bytes()
    if read_infohash(data) != manifest.infohash:
        raise _differs(image, TORRENT_FILE, "its hash is not the manifest's")
    made = make_torrent(image.directory, torrent_name(manifest.name, manifest.version))
    if made.infohash != manifest.infohash:
        raise _differs(image, TORRENT_FILE, "its hashes are not those of the files")


def _differs(image: Image, file: str, reason: str) -> Untrusted:
    return Untrusted(
        f"{file} of {image.label} was changed: {reason}",
        hint="publish the image again, and look who writes to the image folder",
    )


def _read(directory: Path) -> Image:
    try:
        return Image(parse_manifest((directory / MANIFEST_FILE).read_bytes()), directory)
    except SwarmstrapError as error:
        raise Untrusted(f"{directory}: {error.message}", hint=error.hint) from error


def _age(image: Image) -> tuple[str, str, list[tuple[int, int | str]]]:
    manifest = image.manifest
    return manifest.name, manifest.created, natural(manifest.version)
