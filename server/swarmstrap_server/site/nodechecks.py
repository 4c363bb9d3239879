# SPDX-License-Identifier: GPL-2.0-or-later
"""What types cannot say about nodes and groups: names and marks that are there once, words that
stay valid when they are put together.
"""

import re
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from swarmstrap.errors import BadInput, with_hint
from swarmstrap.networks.checks import network_findings
from swarmstrap.overlays import too_large
from swarmstrap.wire import Overlay
from swarmstrap_server.images.names import check_name, split
from swarmstrap_server.site import grouping, ranges
from swarmstrap_server.site.assembling import MARKS, Catalog, attached, names_of, sample
from swarmstrap_server.site.checks import (
    HOST_NAME,
    NODE_NAME,
    Finding,
    kernel_arguments,
    one_of,
    rack,
    shape,
)
from swarmstrap_server.site.merging import Layer, Merged
from swarmstrap_server.site.networkchecks import claims, shared_addresses
from swarmstrap_server.site.switching import power_of
from swarmstrap_server.site.words import ALL, GroupEntry, GroupsFile, Node, NodeEntry, NodesFile
from swarmstrap_server.site.yamlfile import Document, Misfit, Steps

MAC = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}")
SERIAL = re.compile(r"[!-~]+(?: [!-~]+)*")
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


def node_problems(
    node_files: Sequence[Document[NodesFile]],
    group_files: Sequence[Document[GroupsFile]],
    catalog: Catalog,
    known: Known,
) -> list[BadInput]:
    """One complaint for each line that is wrong, however many nodes take their words from it."""
    texts = [
        *_twice(node_files, group_files),
        *(text for file in node_files for text in _entries(file)),
        *(text for file in group_files for text in _groups(file, catalog.groups)),
        *_together(catalog, known),
        *(text for layer in catalog.layers.values() for text in _alone(layer, catalog, known)),
    ]
    if known.whole:
        texts += _unknown_groups(node_files, catalog)
        texts += _unknown_members(group_files, catalog)
    return [BadInput(text) for text in dict.fromkeys(texts)]


def _twice(
    node_files: Sequence[Document[NodesFile]], group_files: Sequence[Document[GroupsFile]]
) -> Iterator[str]:
    """Names and marks that two have, in whichever files."""
    owners: dict[str, str] = {f"name {ALL}": "the group of all nodes"}
    for place, owner, claimed in (*_node_claims(node_files), *_group_claims(group_files)):
        for claim in claimed:
            if claim in owners:
                yield f"{place}: {claim} is also that of {owners[claim]}"
            else:
                owners[claim] = f"{owner} ({place})"


Claims = tuple[str, str, list[str]]


def _node_claims(files: Sequence[Document[NodesFile]]) -> Iterator[Claims]:
    for file in files:
        for position, node in enumerate(file.value.nodes):
            claims = [f"name {name}" for name in _names(node)]
            claims += [f"MAC {_plain_mac(mac)}" for mac in _each(node.mac)]
            claims += [f"UUID {text.lower()}" for text in _each(node.uuid)]
            claims += [f"serial {text}" for text in _each(node.serial)]
            yield file.place(("nodes", position)), f"node {node.name}", claims


def _group_claims(files: Sequence[Document[GroupsFile]]) -> Iterator[Claims]:
    for file in files:
        for position, group in enumerate(file.value.groups):
            claims = [f"name {group.name}"] if group.name != ALL else ["group all"]
            yield file.place(("groups", position)), f"group {group.name}", claims


def _unknown_groups(files: Sequence[Document[NodesFile]], catalog: Catalog) -> Iterator[str]:
    for file in files:
        for position, node in enumerate(file.value.nodes):
            for group in node.groups:
                if complaint := one_of(group, list(catalog.groups), "group"):
                    yield f"{file.place(('nodes', position, 'groups'))}: {complaint}"


def _unknown_members(files: Sequence[Document[GroupsFile]], catalog: Catalog) -> Iterator[str]:
    groups = [name for name in catalog.groups if name != ALL]
    for file in files:
        for position, group in enumerate(file.value.groups):
            for inner in group.groups:
                if complaint := one_of(inner, groups, "group"):
                    yield f"{file.place(('groups', position, 'groups'))}: {complaint}"
            for member in group.members:
                if complaint := _member(member, catalog.declared):
                    yield f"{file.place(('groups', position, 'members'))}: {complaint}"


def _entries(file: Document[NodesFile]) -> Iterator[str]:
    for position, node in enumerate(file.value.nodes):
        for path, complaint in (*_name_findings(node), *_mark_findings(node)):
            if complaint:
                yield f"{file.place(('nodes', position, *path))}: {complaint}"


def _name_findings(node: NodeEntry) -> Iterator[Finding]:
    try:
        names = names_of(node)
    except BadInput as error:
        yield ("name",), str(error)
        return
    yield ("name",), next(filter(None, (shape(n, NODE_NAME, "a node's name") for n in names)), "")
    for key in MARKS:
        given = getattr(node, key)
        if not ranges.is_range(node.name):
            if isinstance(given, tuple) and (key != "mac" or not all(map(_is_text, given))):
                yield (key,), f"a list of {key}s is for a range of nodes"
        elif given and not (isinstance(given, tuple) and len(given) == len(names)):
            yield (key,), f"{node.name} needs a list of {len(names)}, one for each node"


def _mark_findings(node: NodeEntry) -> Iterator[Finding]:
    if not (node.mac or node.uuid or node.serial):
        yield (), f"node {node.name} needs mac, uuid or serial, to be known by"
    for mac in _each(node.mac):
        yield ("mac",), shape(_plain_mac(mac), MAC, "a MAC address")
    for text in _each(node.uuid):
        yield ("uuid",), _uuid(text)
    for text in _each(node.serial):
        yield ("serial",), shape(text, SERIAL, "a serial number")


def _groups(file: Document[GroupsFile], groups: Mapping[str, GroupEntry]) -> Iterator[str]:
    above = grouping.containing(groups)
    for position, group in enumerate(file.value.groups):
        for path, complaint in _group_findings(group, above[group.name]):
            if complaint:
                yield f"{file.place(('groups', position, *path))}: {complaint}"


def _group_findings(group: GroupEntry, above: frozenset[str]) -> Iterator[Finding]:
    yield ("name",), shape(group.name, NODE_NAME, "a group's name")
    if group.name == ALL and (group.members or group.groups or group.priority):
        yield (), "every node is in group all, which gives way to every other group"
    if group.name in above:
        yield ("groups",), f"group {group.name} contains itself"


def _member(member: str, nodes: Collection[str]) -> str:
    if not ranges.is_range(member):
        return one_of(member, sorted(nodes), "node")
    try:
        names = ranges.expand(member)
    except BadInput as error:
        return str(error)
    return "" if any(name in nodes for name in names) else f"there is no node of {member}"


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
    """A group by itself, for one that has no members."""
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


def _uuid(text: str) -> str:
    try:
        uuid.UUID(text)
    except ValueError:
        return f"{text!r} is not a UUID"
    return ""


def _names(node: NodeEntry) -> tuple[str, ...]:
    try:
        return names_of(node)
    except BadInput:
        return ()


def _each(given: str | tuple[str | tuple[str, ...], ...]) -> Iterator[str]:
    """All texts in what is one, a list, or a list of lists."""
    if isinstance(given, str):
        yield from filter(None, (given,))
        return
    for item in given:
        yield from _each(item)


def _is_text(item: object) -> bool:
    return isinstance(item, str)


def _plain_mac(mac: str) -> str:
    return mac.lower().replace("-", ":")
