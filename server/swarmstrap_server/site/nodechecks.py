# SPDX-License-Identifier: GPL-2.0-or-later
"""What types cannot say about the entries of node and group files: names and marks that are there
once and look as they should, groups and members that exist.
"""

import re
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence

from swarmstrap.errors import BadInput
from swarmstrap_server.site import grouping, ranges
from swarmstrap_server.site.assembling import MARKS, Catalog, names_of
from swarmstrap_server.site.checks import NODE_NAME, Finding, one_of, shape
from swarmstrap_server.site.wordchecks import Known, wrong_words
from swarmstrap_server.site.words import ALL, GroupEntry, GroupsFile, NodeEntry, NodesFile
from swarmstrap_server.site.yamlfile import Document

MAC = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}")
SERIAL = re.compile(r"[!-~]+(?: [!-~]+)*")


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
        *wrong_words(catalog, known),
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
