# SPDX-License-Identifier: GPL-2.0-or-later
"""The JSON pages of a container image, each checked against the digest that led to it."""

import hashlib
import re
from typing import TypeVar

import msgspec

from swarmstrap.units import MiB
from swarmstrap_server.images.looking import first_bytes
from swarmstrap_server.images.source import CaptureFailed, Source

MAX_PAGE = 8 * MiB
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")

Page = TypeVar("Page", bound=msgspec.Struct)


class Platform(msgspec.Struct, frozen=True):
    architecture: str = ""
    os: str = "linux"
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)

    def fits(self, wanted: "Platform") -> bool:
        """A variant counts where it is wanted."""
        same = (self.os, self.architecture) == (wanted.os, wanted.architecture)
        return same and wanted.variant in ("", self.variant)


class Descriptor(msgspec.Struct, frozen=True, rename="camel"):
    digest: str
    size: int
    annotations: dict[str, str] = {}
    platform: Platform | None = None
    media_type: str = ""


def blob_page(source: Source, descriptor: Descriptor, kind: type[Page]) -> Page:
    """The page that `descriptor` leads to, and no other."""
    path = blob_path(source, descriptor)
    data = page_bytes(source, path)
    digest = hashlib.sha256(data).hexdigest()
    if len(data) != descriptor.size or digest != sha256_of(source, descriptor.digest):
        raise unusable(source, f"{path} does not have its sha256 and size")
    return decode(source, path, data, kind)


def page(source: Source, path: str, kind: type[Page]) -> Page:
    """A page that nothing leads to: where reading begins."""
    return decode(source, path, page_bytes(source, path), kind)


def page_bytes(source: Source, path: str) -> bytes:
    """Raises CaptureFailed when it is missing."""
    data = first_bytes(source, path, MAX_PAGE)
    if data is None:
        raise unusable(source, f"it has no {printable(path)}")
    return data


def decode(source: Source, path: str, data: bytes, kind: type[Page]) -> Page:
    """Unknown keys are left alone: others may add them. Raises CaptureFailed."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise unusable(source, f"{printable(path)} cannot be read: {error}") from error


def blob_path(source: Source, descriptor: Descriptor) -> str:
    """In a layout."""
    return f"blobs/sha256/{sha256_of(source, descriptor.digest)}"


def sha256_of(source: Source, digest: str) -> str:
    """As hex; the only kind of digest that images have in practice."""
    match = _DIGEST.fullmatch(digest)
    if match is None:
        raise unusable(source, f"it has a digest that is no sha256: {digest!r:.80}")
    return match[1]


def printable(text: str) -> str:
    """On one line of a message, whatever a page says."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def unusable(source: Source, reason: str) -> CaptureFailed:
    return CaptureFailed(
        f"{source.name} is no container image that can be used: {reason}",
        hint="make it again, for example with skopeo copy",
    )
