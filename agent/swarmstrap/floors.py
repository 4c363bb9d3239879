# SPDX-License-Identifier: GPL-2.0-or-later
"""What the publisher signed once and a site will not have any more: the way back is closed.

A signature never expires. So the site says from which date on an image may be deployed, and which
single versions may not; both travel inside the initramfs, where no server can change them.
"""

from datetime import UTC, datetime
from typing import Annotated

import msgspec

from swarmstrap.errors import BadInput, Untrusted
from swarmstrap.manifest import Manifest

Time = Annotated[str, msgspec.Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]
Infohash = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]


class Floors(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`floors` maps an image's name to the earliest `created` that is deployed; `revoked` maps the
    infohash of a version to how it is called.
    """

    floors: dict[str, Time] = {}
    revoked: dict[Infohash, str] = {}


def encode(floors: Floors) -> bytes:
    return msgspec.json.format(msgspec.json.encode(floors, order="sorted"), indent=2) + b"\n"


def decode(data: bytes, name: str) -> Floors:
    """Raises BadInput, which calls the file `name`, unless `data` are what `encode` makes."""
    try:
        return msgspec.json.decode(data, type=Floors)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{name}: {error}", hint="build the initramfs again") from error


def check_floors(manifest: Manifest, floors: Floors) -> None:
    """Raises Untrusted when this version may not be deployed any more."""
    label = f"image {manifest.name} {manifest.version}"
    if manifest.infohash in floors.revoked:
        raise Untrusted(f"{label} was revoked", hint="deploy another version")
    floor = floors.floors.get(manifest.name)
    if floor is not None and _time(manifest.created, label) < _time(floor, "the floor"):
        raise Untrusted(
            f"{label} is of {manifest.created}: nothing older than {floor} is deployed",
            hint="deploy a newer version; floors.yaml of the site says so",
        )


def _time(text: str, what: str) -> datetime:
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError as error:
        raise Untrusted(f"{what} has no date: {text!r}", hint="publish it again") from error
