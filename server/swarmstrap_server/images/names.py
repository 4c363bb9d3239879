# SPDX-License-Identifier: GPL-2.0-or-later
"""How images are called: `NAME:VERSION`."""

import re

from swarmstrap.errors import BadInput

# They become folders, parts of URLs and of torrent names.
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


def check_name(name: str, what: str) -> str:
    """`name` itself; raises BadInput unless it can name an image or a version."""
    if not _NAME.fullmatch(name):
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
