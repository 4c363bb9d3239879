# SPDX-License-Identifier: GPL-2.0-or-later
"""Images as they are shown: with their tags, who signed them and whether they may be deployed."""

from collections.abc import Mapping

import msgspec

from swarmstrap.errors import Untrusted
from swarmstrap.floors import Floors, check_floors
from swarmstrap.manifest import Manifest
from swarmstrap_server.images.library import Image
from swarmstrap_server.images.resign import signed_by


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """An image for machines; `refused` says why it may not be deployed."""

    image: str
    folder: str
    tags: tuple[str, ...]
    signed_by: str
    refused: str
    manifest: Manifest


def listed(image: Image, tagged: Mapping[str, str], floors: Floors) -> Listed:
    """`tagged` maps the tags of this name to their versions."""
    try:
        check_floors(image.manifest, floors)
        refused = ""
    except Untrusted as error:
        refused = error.message
    return Listed(
        image=image.label,
        folder=str(image.directory),
        tags=tuple(tag for tag, of in tagged.items() if of == image.manifest.version),
        signed_by=signed_by(image),
        refused=refused,
        manifest=image.manifest,
    )
