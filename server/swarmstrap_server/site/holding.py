# SPDX-License-Identifier: GPL-2.0-or-later
"""What holds for a node, word by word, and who says so."""

from collections.abc import Iterator, Mapping

import msgspec

from swarmstrap_server.site.assembling import attached, filled
from swarmstrap_server.site.merging import flat
from swarmstrap_server.site.networks import Networks, addressed
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
    values = filled(node, merged)
    values = flat(values, values)
    for key, said in merged.said.items():
        owner, place = said.layer.owner, said.place
        if key == "network":
            values[key], taken = _network(values[key], site.catalog.networks)
            yield from _of_networks(taken, site)
        yield Held(key=key, value=values[key], owner=owner, place=place)
    for key in _DEFAULTS:
        if key not in merged.said:
            default = msgspec.to_builtins(getattr(site.settings.defaults, key))
            yield Held(key=key, value=default, owner="the site", place="site.yaml")


def _network(value: Value, networks: Networks) -> tuple[Value, dict[str, Value]]:
    """As written, with the addresses that come of it; and what comes from networks."""
    addresses, taken = addressed(attached(value), networks)
    assert isinstance(value, list), "whose kind the file's type says"
    shown: list[Value] = [
        {**interface, "addresses": addresses[position]}
        if isinstance(interface, dict) and position in addresses
        else interface
        for position, interface in enumerate(value)
    ]
    return shown, taken


def _of_networks(taken: Mapping[str, Value], site: Site) -> Iterator[Held]:
    for key, value in taken.items():
        name, _, word = key.partition(".")
        place = site.catalog.networks.place(name, word)
        yield Held(key=f"network.{key}", value=value, owner=f"network {name}", place=place)
