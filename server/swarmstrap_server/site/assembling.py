# SPDX-License-Identifier: GPL-2.0-or-later
"""From the entries of node and group files to the nodes of a site, each as if written alone."""

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import msgspec

from swarmstrap.errors import BadInput
from swarmstrap_server.power.words import NoPower, Power
from swarmstrap_server.site import grouping, ranges
from swarmstrap_server.site.merging import Layer, Merged, Weight, flat, merge
from swarmstrap_server.site.switching import power_of
from swarmstrap_server.site.words import (
    ALL,
    Entry,
    GroupEntry,
    GroupsFile,
    Node,
    NodeEntry,
    NodesFile,
)
from swarmstrap_server.site.yamlfile import Document, Misfit, Steps, Value, entry

_WORDS = Entry.__struct_fields__
# Of a range each node has its own.
MARKS = ("mac", "uuid", "serial")
# `{name}` and `{n}` mean the node in these: what a thousand nodes say alike but for their number.
_FILLED = frozenset({"hostname", "network", "power"})
# The group of all nodes, where no file speaks of it.
_SILENT = Layer({}, lambda path: "", ALL)
_NUMBER = re.compile(r"[0-9]+$")


@dataclass(frozen=True, slots=True)
class Declared:
    """A node as one source has it, before its groups are asked."""

    name: str
    groups: tuple[str, ...]
    layer: Layer


@dataclass(frozen=True, slots=True)
class Catalog:
    """All that is said of nodes; what holds for one of them is `merged`."""

    declared: Mapping[str, Declared]
    of_files: Mapping[str, Declared]
    groups: Mapping[str, GroupEntry]
    layers: Mapping[str, Layer]
    groups_of: Mapping[str, frozenset[str]]

    def merged(self, node: str) -> Merged:
        layers = (self.layers[group] for group in self.groups_of[node])
        return merge((self.declared[node].layer, *layers))

    def node(self, name: str) -> Node:
        weighed = sorted(self.groups_of[name], key=self._weight)
        return _node(name, self.merged(name), weighed)

    def nodes(self) -> dict[str, Node]:
        return {name: self.node(name) for name in self.declared}

    def members(self, group: str) -> tuple[str, ...]:
        return tuple(name for name, groups in self.groups_of.items() if group in groups)

    def with_nodes(self, more: Iterable[Declared]) -> "Catalog":
        """`more` are all that no file has; a node of a file goes before one of the same name."""
        declared = {**{node.name: node for node in more}, **self.of_files}
        return replace(self, declared=declared, groups_of=_groups_of(declared, self.groups))

    def with_node(self, node: Declared) -> "Catalog":
        """And one more, without a look at the others."""
        return replace(
            self,
            declared={**self.declared, node.name: node},
            groups_of={**self.groups_of, **_groups_of({node.name: node}, self.groups)},
        )

    def _weight(self, group: str) -> Weight:
        return self.layers[group].weight


def catalog(
    node_files: Sequence[Document[NodesFile]], group_files: Sequence[Document[GroupsFile]]
) -> Catalog:
    """What is wrong in the files is left out here; the checks speak of it."""
    groups = {ALL: GroupEntry(name=ALL)}
    groups |= {group.name: group for file in group_files for group in file.value.groups}
    declared = {node.name: node for file in node_files for node in declared_in(file)}
    return Catalog(
        declared=declared,
        of_files=declared,
        groups=groups,
        layers={ALL: _SILENT, **dict(_group_layers(group_files, groups))},
        groups_of=_groups_of(declared, groups),
    )


def sample(layer: Layer) -> Node:
    """A node that says nothing and is in one group."""
    return _node("n1", merge((layer,)), ())


def names_of(node: NodeEntry) -> tuple[str, ...]:
    """Raises BadInput for what is not a range."""
    return ranges.expand(node.name) if ranges.is_range(node.name) else (node.name,)


def declared_in(file: Document[NodesFile]) -> Iterator[Declared]:
    for position, node in enumerate(file.value.nodes):
        path: Steps = ("nodes", position)
        written = entry(file.data, path)
        try:
            names = names_of(node)
        except BadInput:
            continue
        common = flat(written, _WORDS)
        for index, name in enumerate(names):
            marks = _marks_of(node, index)
            layer = Layer(common | marks, partial(_place, file, path))
            yield Declared(name, node.groups, layer)


def _marks_of(node: NodeEntry, index: int) -> dict[str, Value]:
    """Those of the `index`th node of a range, or of a node that is none."""
    marks: dict[str, Value] = {}
    for key in MARKS:
        given = getattr(node, key)
        if ranges.is_range(node.name):
            given = given[index] if isinstance(given, tuple) and index < len(given) else ""
        if isinstance(given, tuple):
            given = [mac for mac in given if isinstance(mac, str) and key == "mac"]
        if given:
            marks[key] = given
    return marks


def _group_layers(
    files: Sequence[Document[GroupsFile]], groups: Mapping[str, GroupEntry]
) -> Iterator[tuple[str, Layer]]:
    above = grouping.containing(groups)
    for file in files:
        for position, group in enumerate(file.value.groups):
            path: Steps = ("groups", position)
            values = flat(entry(file.data, path), _WORDS)
            at = partial(_place, file, path)
            yield group.name, Layer(values, at, group.name, group.priority, above[group.name])


def _place(file: Document[NodesFile] | Document[GroupsFile], base: Steps, path: Steps) -> str:
    return file.place((*base, *path))


def _groups_of(
    declared: Mapping[str, Declared], groups: Mapping[str, GroupEntry]
) -> dict[str, frozenset[str]]:
    own = {name: node.groups for name, node in declared.items()}
    return grouping.groups_of(own, groups)


def _node(name: str, merged: Merged, groups: Sequence[str]) -> Node:
    """Without its power where that makes no sense; the checks speak of it."""
    values = {key: filled(key, value, name) for key, value in merged.values().items()}
    power: Power = NoPower()
    with contextlib.suppress(Misfit):
        power = power_of(values.pop("power", {}))
    words = msgspec.convert({**values, "name": name, "groups": groups}, Node)
    return msgspec.structs.replace(words, power=power)


def filled(key: str, value: Value, node: str) -> Value:
    """`value` of the dotted `key` as it is for `node`."""
    if key.partition(".")[0] not in _FILLED:
        return value
    found = _NUMBER.search(node)
    return _fill(value, {"{name}": node, "{n}": str(int(found[0])) if found else "{n}"})


def _fill(value: Value, meanings: Mapping[str, str]) -> Value:
    match value:
        case str():
            for word, meaning in meanings.items():
                value = value.replace(word, meaning)
            return value
        case list():
            return [_fill(item, meanings) for item in value]
        case dict():
            return {key: _fill(item, meanings) for key, item in value.items()}
        case _:
            return value
