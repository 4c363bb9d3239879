# SPDX-License-Identifier: GPL-2.0-or-later
"""What the publisher signed once and a site will not have any more: the way back is closed.

A signature never expires. So the site says from which date on an image may be deployed, and which
single versions may not; both travel inside the initramfs, where no server can change them.
"""

from collections.abc import Iterator

import msgspec

from swarmstrap.errors import BadInput, Untrusted
from swarmstrap.manifest import NAME, SHA256, Manifest, is_time


class Floors(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`floors` maps an image's name to the earliest `created` that is deployed; `revoked` maps the
    infohash of a version to how it is called.
    """

    floors: dict[str, str] = {}
    revoked: dict[str, str] = {}


def encode(floors: Floors) -> bytes:
    return msgspec.json.format(msgspec.json.encode(floors, order="sorted"), indent=2) + b"\n"


def decode(data: bytes, name: str) -> Floors:
    """Raises BadInput, which calls the file `name`, unless `data` are what `encode` makes."""
    hint = "build the initramfs again"
    try:
        floors = msgspec.json.decode(data, type=Floors)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{name}: {error}", hint=hint) from error
    for _, complaint in complaints(floors):
        raise BadInput(f"{name}: {complaint}", hint=hint)
    return floors


def complaints(floors: Floors) -> Iterator[tuple[tuple[str, str], str]]:
    """What cannot stand there, and below which keys."""
    for name, time in floors.floors.items():
        if not NAME.fullmatch(name):
            yield ("floors", name), f"{name!r} is no name of an image"
        if not is_time(time):
            yield ("floors", name), f"{time!r} is not a time, as in 2026-11-22T10:00:00Z"
    for infohash in floors.revoked:
        if not SHA256.fullmatch(infohash):
            yield ("revoked", infohash), f"{infohash!r} is no infohash: see swarmstrap image show"


def check_floors(manifest: Manifest, floors: Floors) -> None:
    """Raises Untrusted when this version may not be deployed any more."""
    label = f"image {manifest.name} {manifest.version}"
    if manifest.infohash in floors.revoked:
        raise Untrusted(f"{label} was revoked", hint="deploy another version")
    # Times of this form sort as text.
    floor = floors.floors.get(manifest.name, "")
    if manifest.created < floor:
        raise Untrusted(
            f"{label} is of {manifest.created}: nothing older than {floor} is deployed",
            hint="deploy a newer version; floors.yaml of the site says so",
        )
