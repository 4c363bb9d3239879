# SPDX-License-Identifier: GPL-2.0-or-later
"""What types cannot say about the words of nodes, once those of all their groups are put together:
each names what there is, and no two nodes have the same address.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from swarmstrap.errors import BadInput, with_hint
from swarmstrap.networks.checks import network_findings
from swarmstrap.overlays import too_large
from swarmstrap.wire import Overlay
from swarmstrap_server.images.names import check_name, split
from swarmstrap_server.site.assembling import Catalog, attached, sample
from swarmstrap_server.site.checks import (
    HOST_NAME,
    Finding,
    kernel_arguments,
    one_of,
    rack,
    shape,
)
from swarmstrap_server.site.merging import Layer, Merged
from swarmstrap_server.site.networkchecks import claims, shared_addresses
from swarmstrap_server.site.switching import power_of
from swarmstrap_server.site.words import Node
from swarmstrap_server.site.yamlfile import Misfit, Steps

VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Known:
    """What words may name: layouts, hooks and overlays of the site. `whole` says that every node
    and group file could be read, so that a name that is in none of them is a mistake.
    """

    layouts: Sequence[str]
    hooks: Sequence[str]
    overlays: Mapping[str, Overlay] = field(default_factory=dict)
    whole: bool = True


def wrong_words(catalog: Catalog, known: Known) -> Iterator[str]:
    """What is wrong with each node, and with each group by itself: one may have no members."""
    yield from _together(catalog, known)
    for layer in catalog.layers.values():
        yield from _alone(layer, catalog, known)


def _together(catalog: Catalog, known: Known) -> Iterator[str]:
    """Every node with all that its groups say, and the addresses of all of them."""
    claimed: dict[str, list[tuple[str, str]]] = {}
    for name in catalog.declared:
        merged, node = catalog.merged(name), catalog.node(name)
        yield from _merged(node, merged, catalog, known)
        for position, address in dict.fromkeys(claims(node)):
            place = merged.place(("network", position, "addresses"))
            claimed.setdefault(address, []).append((name, place))
    yield from shared_addresses(claimed)


def _merged(node: Node, merged: Merged, catalog: Catalog, known: Known) -> Iterator[str]:
    yield from map(str, merged.disputes)
    yield from _words(node, merged.place, known)
    try:
        power_of(merged.values().get("power"))
    except Misfit as error:
        yield _misfit(error, merged.place(("power", *error.path)))
    if known.whole:
        try:
            catalog.network(node.name)
        except Misfit as error:
            yield _misfit(error, merged.place(("network", *error.path)))


def _misfit(error: Misfit, place: str) -> str:
    return with_hint(f"{place}: {error.message}", error.hint)


def _alone(layer: Layer, catalog: Catalog, known: Known) -> Iterator[str]:
    yield from _words(sample(layer, catalog.networks), layer.at, known)
    names = list(catalog.networks.by_name)
    for position, interface in enumerate(attached(layer.values.get("network", []))):
        complaint = one_of(interface.network, names, "network") if interface.network else ""
        if complaint and known.whole:
            yield f"{layer.at(('network', position, 'network'))}: {complaint}"


def _words(node: Node, place: Callable[[Steps], str], known: Known) -> Iterator[str]:
    for path, complaint in _word_findings(node, known):
        if complaint:
            yield f"{place(path)}: {complaint}"


def _word_findings(node: Node, known: Known) -> Iterator[Finding]:
    if node.rack:
        yield ("rack",), rack(node.rack)
    if node.layout:
        yield ("layout",), one_of(node.layout, known.layouts, "layout")
    if node.image:
        yield ("image",), _image(node.image)
    if node.hostname:
        yield ("hostname",), shape(node.hostname, HOST_NAME, "a host name")
    yield ("kernel_arguments",), kernel_arguments(node.kernel_arguments)
    for hook in node.hooks or ():
        yield ("hooks",), one_of(hook, known.hooks, "hook")
    for overlay in node.overlays:
        yield ("overlays",), one_of(overlay, list(known.overlays), "overlay")
    yield (
        ("overlays",),
        too_large([known.overlays[n] for n in node.overlays if n in known.overlays]),
    )
    for variable, value in node.variables.items():
        complaint = shape(variable, VARIABLE, "a variable's name: letters, digits and _")
        if not str(value).isprintable():
            complaint = f"{value!r} is not one line of text"
        yield ("variables", variable), complaint
    for path, complaint in network_findings(node.network):
        yield ("network", *path), complaint


def _image(text: str) -> str:
    try:
        name, version = split(text)
        check_name(name, "an image")
        check_name(version or "1", "a version")
    except BadInput as error:
        return error.message
    return ""
