# SPDX-License-Identifier: GPL-2.0-or-later
"""The texts in boot/ that firmware and its helpers read, and the filling of their @NAME@ places."""

import re
from collections.abc import Mapping

from swarmstrap.errors import BadInput
from swarmstrap_server.shipped import shipped

_PLACE = re.compile(r"@([A-Z][A-Z0-9_]*)@")
# Quoting, comments, separators and expansions of iPXE, dnsmasq, dhcpd and JSON.
_UNSAFE = frozenset("\"'`\\#@;|&${}")


def template(name: str) -> str:
    """The text of boot/`name` after its licence line: iPXE wants `#!ipxe` at the very start."""
    return shipped(f"boot/{name}").read_text().partition("\n")[2]


def fill(text: str, values: Mapping[str, str]) -> str:
    """`text` with every @NAME@ replaced by its value.

    Raises BadInput for a value that could end the line or the word it is written into, and
    KeyError for a place without a value.
    """
    for name, value in values.items():
        if not value.isprintable() or _UNSAFE & set(value):
            raise BadInput(f"{value!r} cannot be written as {name} into a boot file")
    return _PLACE.sub(lambda place: values[place[1]], text)
