# SPDX-License-Identifier: GPL-2.0-or-later
"""How images are called: `NAME:VERSION`."""

from swarmstrap.errors import BadInput
from swarmstrap.manifest import NAME


def check_name(name: str, what: str) -> str:
    """`name` itself; raises BadInput unless it can name an image or a version."""
    if not NAME.fullmatch(name):
        raise BadInput(
            f"not a name for {what}: {name!r}",
            hint="use lower-case letters, digits, '.', '_' and '-', at most 64, a letter first",
        )
    return name


def split(image: str) -> tuple[str, str | None]:
    """`debian:12.1` as name and version; the version is None when it is not said."""
    name, colon, version = image.partition(":")
    if colon and not version:
        raise BadInput(
            f"{image!r} has no version after the colon", hint="write NAME or NAME:VERSION"
        )
    return name, version or None
