# SPDX-License-Identifier: GPL-2.0-or-later
"""Which of a container's images is wanted, and what its layers are and must be.

Formats: the OCI image layout 1.0 and the archives of `docker save`. Pure, but for reading small
files of the source that they are in.
"""

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from swarmstrap.errors import BadInput
from swarmstrap_server.images.looking import first_bytes, inside
from swarmstrap_server.images.source import Source
from swarmstrap_server.images.sources.pages import (
    MAX_PAGE,
    Descriptor,
    Platform,
    blob_page,
    blob_path,
    decode,
    page,
    page_bytes,
    printable,
    sha256_of,
    unusable,
)

# Names of an image, as skopeo and containerd write them.
_NAMES = ("org.opencontainers.image.ref.name", "io.containerd.image.name")
# A signature or a bill of materials beside an image, in the clothes of an image.
_ATTACHED = "vnd.docker.reference.type"
_MAX_IMAGES = 1000
_MAX_DEPTH = 4
_MAX_LAYERS = 1000
# As `uname -m` says it, and as Go does.
_ARCHITECTURES = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "i686": "386",
    "armv7l": "arm",
    "loongarch64": "loong64",
}


class _Index(msgspec.Struct, frozen=True):
    manifests: list[Descriptor]


class _Manifest(msgspec.Struct, frozen=True):
    config: Descriptor
    layers: list[Descriptor]


class _RootFs(msgspec.Struct, frozen=True):
    diff_ids: list[str]


class _Config(msgspec.Struct, frozen=True):
    rootfs: _RootFs


class _Saved(msgspec.Struct, frozen=True, rename="pascal"):
    config: str
    layers: list[str]
    repo_tags: list[str] | None = None


class _SavedPage(msgspec.Struct, frozen=True):
    images: list[_Saved]


@dataclass(frozen=True, slots=True)
class Layer:
    """A file of the archive; sha256 of it and of what it unpacks to, as hex. The first one and the
    size are unknown (empty, None) in archives of Docker.
    """

    path: str
    sha256: str
    size: int | None
    unpacked_sha256: str


@dataclass(frozen=True, slots=True)
class _Image:
    """One of those in a layout."""

    descriptor: Descriptor
    names: tuple[str, ...]
    platform: Platform | None


def is_container(source: Source) -> bool:
    """Whether it is a layout or an archive of `docker save`, and not the root of a system."""
    saved = first_bytes(source, "manifest.json", MAX_PAGE) or b""
    return _is_layout(source) or (saved.lstrip().startswith(b"[") and b'"Layers"' in saved)


def parse_platform(text: str) -> Platform:
    """`linux/arm64`, `linux/arm/v7` or only an architecture, by the names of Go or of Linux."""
    parts = text.split("/")
    if len(parts) > 3 or not all(parts):
        raise BadInput(f"not a platform: {text!r}", hint="write it as in linux/arm64")
    if len(parts) == 1:
        parts = ["linux", *parts]
    os_, architecture, variant = (*parts, "")[:3]
    return Platform(_ARCHITECTURES.get(architecture, architecture), os_, variant)


def read_layers(source: Source, *, platform: str = "", tag: str = "") -> list[Layer]:
    """Of the image that is wanted, lowest first. The machine's own platform is the default.

    Raises BadInput when that leaves a choice, CaptureFailed for what does not hold.
    """
    if _is_layout(source):
        manifest = _wanted(source, list(_images(source)), platform, tag)
        return _layout_layers(source, manifest)
    return _saved_layers(source, tag)


def _is_layout(source: Source) -> bool:
    return inside(source, "oci-layout") is not None and inside(source, "index.json") is not None


def _images(source: Source) -> Iterator[_Image]:
    pending: list[tuple[_Index, tuple[str, ...], int]] = [
        (page(source, "index.json", _Index), (), 0)
    ]
    count = 0
    while pending:
        index, above, depth = pending.pop()
        for descriptor in index.manifests:
            count += 1
            if count > _MAX_IMAGES or depth > _MAX_DEPTH:
                raise unusable(source, "its index goes on and on")
            named = tuple(
                descriptor.annotations[key] for key in _NAMES if key in descriptor.annotations
            )
            names = named or above
            if descriptor.media_type.endswith((".index.v1+json", ".manifest.list.v2+json")):
                pending.append((blob_page(source, descriptor, _Index), names, depth + 1))
            elif _ATTACHED not in descriptor.annotations:
                yield _Image(descriptor, names, descriptor.platform)


def _wanted(source: Source, images: list[_Image], platform: str, tag: str) -> Descriptor:
    if tag:
        named = [image for image in images if any(_is_named(name, tag) for name in image.names)]
    else:
        named = images
    if not named or len({image.names for image in named}) > 1:
        raise _choice(
            source, "--tag", tag, sorted(name for image in images for name in image.names)
        )
    if len(named) == 1 and not platform:
        return named[0].descriptor
    wanted = parse_platform(platform or os.uname().machine)
    fitting = [image for image in named if image.platform is None or image.platform.fits(wanted)]
    if len(fitting) != 1:
        platforms = sorted(str(image.platform) for image in named)
        raise _choice(source, "--platform", str(wanted), platforms)
    return fitting[0].descriptor


def _is_named(name: str, tag: str) -> bool:
    return name == tag or name.endswith((f":{tag}", f"/{tag}"))


def _choice(source: Source, option: str, wanted: str, known: list[str]) -> BadInput:
    what = f"not one image that is {wanted}" if wanted else f"{len(known)} images"
    names = ", ".join(map(printable, known)) or "none"
    return BadInput(f"{source.name} has {what}", hint=f"say {option}: {names}")


def _layout_layers(source: Source, descriptor: Descriptor) -> list[Layer]:
    manifest = blob_page(source, descriptor, _Manifest)
    config = blob_page(source, manifest.config, _Config)
    unpacked = _diff_ids(source, config, len(manifest.layers))
    return [
        Layer(blob_path(source, layer), sha256_of(source, layer.digest), layer.size, sha256)
        for layer, sha256 in zip(manifest.layers, unpacked, strict=True)
    ]


def _saved_layers(source: Source, tag: str) -> list[Layer]:
    data = b'{"images":' + page_bytes(source, "manifest.json") + b"}"
    images = decode(source, "manifest.json", data, _SavedPage).images
    named = [
        image
        for image in images
        if not tag or any(_is_named(n, tag) for n in image.repo_tags or ())
    ]
    if len(named) != 1:
        known = sorted(name for image in images for name in image.repo_tags or ())
        raise _choice(source, "--tag", tag, known)
    [image] = named
    data = page_bytes(source, image.config)
    digest = re.search(r"[0-9a-f]{64}", image.config)
    if digest and hashlib.sha256(data).hexdigest() != digest[0]:
        raise unusable(source, f"{printable(image.config)} does not have its sha256")
    config = decode(source, image.config, data, _Config)
    unpacked = _diff_ids(source, config, len(image.layers))
    return [
        Layer(path, "", None, sha256) for path, sha256 in zip(image.layers, unpacked, strict=True)
    ]


def _diff_ids(source: Source, config: _Config, layers: int) -> list[str]:
    digests = [sha256_of(source, digest) for digest in config.rootfs.diff_ids]
    if len(digests) != layers or layers > _MAX_LAYERS:
        raise unusable(source, f"it has {layers} layers and names {len(digests)}")
    return digests
