# SPDX-License-Identifier: GPL-2.0-or-later
"""What holds for a node, word by word, and who says so."""

from collections.abc import Iterator

import msgspec

from swarmstrap_server.site.assembling import filled
from swarmstrap_server.site.reading import Site
from swarmstrap_server.site.yamlfile import Value

# Words of a node of which site.yaml has a default.
_DEFAULTS = ("layout", "finish", "failure")


class Held(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One word: `key` is dotted below a mapping; `owner` is `the node`, `group NAME` or `the site`,
    and `place` file and line, or site.yaml alone.
    """

    key: str
    value: Value
    owner: str
    place: str


def held(site: Site, node: str) -> dict[str, Held]:
    """By key, sorted; what nobody says is not there, but for what site.yaml has a default of."""
    return {word.key: word for word in sorted(_held(site, node), key=lambda word: word.key)}


def _held(site: Site, node: str) -> Iterator[Held]:
    merged = site.catalog.merged(node)
    for key, said in merged.said.items():
        value = filled(key, said.value, node)
        yield Held(key=key, value=value, owner=said.layer.owner, place=said.place)
    for key in _DEFAULTS:
        if key not in merged.said:
            default = msgspec.to_builtins(getattr(site.settings.defaults, key))
            yield Held(key=key, value=default, owner="the site", place="site.yaml")
