# SPDX-License-Identifier: GPL-2.0-or-later
"""The images of a site: `ROOT/NAME/VERSION/`, each complete from the moment it can be seen."""

from dataclasses import dataclass
from pathlib import Path

from swarmstrap.errors import BadInput, SwarmstrapError, Untrusted
from swarmstrap.manifest import (
    INDEX_FILE,
    MANIFEST_FILE,
    PAYLOAD_FILE,
    SIGNATURE_FILE,
    TORRENT_FILE,
    Manifest,
    parse_manifest,
)
from swarmstrap_server.images.facts import natural
from swarmstrap_server.images.names import check_name
from swarmstrap_server.images.tags import Tags
from swarmstrap_server.images.torrents import read_infohash
from swarmstrap_server.images.workspace import discard, taken

FILES = (MANIFEST_FILE, SIGNATURE_FILE, TORRENT_FILE, INDEX_FILE, PAYLOAD_FILE)


@dataclass(frozen=True, slots=True)
class Image:
    """A published image; its manifest was read, not verified."""

    manifest: Manifest
    directory: Path

    @property
    def label(self) -> str:
        return f"{self.manifest.name}:{self.manifest.version}"


@dataclass(frozen=True, slots=True)
class Scan:
    """What lies in a store: images, oldest version first, and why other folders are none."""

    images: tuple[Image, ...]
    broken: tuple[Untrusted, ...]


class ImageStore:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.tags = Tags(root)

    def scan(self, name: str | None = None) -> Scan:
        """Every version of every image, or of one. A broken one hides no other."""
        images, broken = [], []
        for directory in sorted(self.root.glob(f"{name or '[!.]*'}/[!.]*")):
            if (directory / MANIFEST_FILE).is_file():
                try:
                    images.append(read_image(directory))
                except Untrusted as error:
                    broken.append(error)
        return Scan(tuple(sorted(images, key=_age)), tuple(broken))

    def ls(self, name: str | None = None) -> tuple[Image, ...]:
        """The images that can be used, or those of one name: by name, oldest first."""
        return self.scan(name).images

    def get(self, name: str, version: str | None = None) -> Image:
        """By version or tag, without either the latest. Raises BadInput when there is no such
        image, Untrusted when it cannot be used.
        """
        check_name(name, "an image")
        if version is None:
            return self.latest(name)
        directory = self.place(name, version)
        if not (directory / MANIFEST_FILE).is_file():
            tagged = self.tags.of(name).get(version)
            if tagged is None:
                raise self._missing(name, version)
            directory = self.place(name, tagged)
            if not (directory / MANIFEST_FILE).is_file():
                raise BadInput(
                    f"tag {name}:{version} is of version {tagged}, which does not exist",
                    hint=f"move it: swarmstrap image tag {name}:VERSION {version}",
                )
        return read_image(directory)

    def latest(self, name: str) -> Image:
        """The version created last, of those that can be used."""
        images = self.ls(check_name(name, "an image"))
        if not images:
            raise self._missing(name, "")
        return images[-1]

    def rm(self, name: str, version: str) -> None:
        """Broken images too, and the tags of what is removed."""
        directory = self.place(name, version)
        if not directory.is_dir():
            raise self._missing(name, version)
        self.tags.forget(name, version)
        discard(directory)

    def place(self, name: str, version: str) -> Path:
        """Where this version is, or would be."""
        return self.root / check_name(name, "an image") / check_name(version, "a version")

    def vacant(self, name: str, version: str) -> Path:
        """The place of a version to come; raises BadInput when it is taken, by a tag too."""
        place = self.place(name, version)
        if place.exists():
            raise taken(place)
        if version in self.tags.of(name):
            raise BadInput(
                f"{name}:{version} is a tag, and cannot be a version as well",
                hint=f"choose another version, or swarmstrap image untag {name}:{version}",
            )
        return place

    def next_version(self, name: str, day: str) -> str:
        """`DAY.N`, one above the highest N of this day."""
        taken = (path.name.rpartition(".") for path in self.root.glob(f"{name}/{day}.*"))
        numbers = [int(number) for begin, _, number in taken if begin == day and number.isdigit()]
        return f"{day}.{max(numbers, default=0) + 1}"

    def _missing(self, name: str, version: str) -> BadInput:
        wanted = f"{name}:{version}" if version else name
        known = ", ".join(image.label for image in self.ls()) or "none"
        return BadInput(f"there is no image {wanted}", hint=f"images of this site: {known}")


def read_image(directory: Path) -> Image:
    """The image in ROOT/NAME/VERSION. Raises Untrusted unless it is called so and its files are
    there, of the signed sizes; what is in them is for `verify`.
    """
    label = f"{directory.parent.name}:{directory.name}"
    image = Image(read_manifest(directory), directory)
    if image.label != label:
        raise differs(label, MANIFEST_FILE, f"it is of {image.label}")
    check_files(image)
    return image


def read_manifest(directory: Path) -> Manifest:
    """Raises Untrusted when it cannot be read."""
    try:
        return parse_manifest((directory / MANIFEST_FILE).read_bytes())
    except OSError as error:
        raise Untrusted(f"{directory}/{MANIFEST_FILE}: {error.strerror}") from error
    except SwarmstrapError as error:
        raise Untrusted(f"{directory}: {error.message}", hint=error.hint) from error


def check_files(image: Image) -> None:
    """Raises Untrusted for files that are missing, have another size, or another torrent."""
    sizes = {INDEX_FILE: image.manifest.index.size, PAYLOAD_FILE: image.manifest.payload.size}
    for name in (TORRENT_FILE, INDEX_FILE, PAYLOAD_FILE):
        path = image.directory / name
        if not path.is_file():
            raise Untrusted(
                f"{image.label} has no {name}",
                hint="bring it back from an export or a backup, or remove the image",
            )
        size = path.stat().st_size
        if size != sizes.get(name, size):
            raise differs(image.label, name, f"it has {size} bytes, not {sizes[name]}")
    if read_infohash((image.directory / TORRENT_FILE).read_bytes()) != image.manifest.infohash:
        raise differs(image.label, TORRENT_FILE, "its hash is not the manifest's")


def differs(label: str, file: str, reason: str) -> Untrusted:
    return Untrusted(
        f"{file} of {label} was changed: {reason}",
        hint="publish the image again, and look who writes to the image folder",
    )


def _age(image: Image) -> tuple[str, str, list[tuple[int, int | str]]]:
    manifest = image.manifest
    return manifest.name, manifest.created, natural(manifest.version)
