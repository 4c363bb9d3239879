# SPDX-License-Identifier: GPL-2.0-or-later
"""From the entries of node and group files to the nodes of a site, each as if written alone."""

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import msgspec

from swarmstrap.errors import BadInput
from swarmstrap.networks.values import Interface
from swarmstrap_server.power.words import NoPower, Power
from swarmstrap_server.site import grouping, ranges
from swarmstrap_server.site.merging import Layer, Merged, Weight, flat, merge
from swarmstrap_server.site.networks import Networks, settled
from swarmstrap_server.site.switching import power_of
from swarmstrap_server.site.words import (
    ALL,
    Entry,
    GroupEntry,
    GroupsFile,
    InterfaceEntry,
    Node,
    NodeEntry,
    NodesFile,
)
from swarmstrap_server.site.yamlfile import Document, Misfit, Steps, Value, entry

_WORDS = Entry.__struct_fields__
# Of a range each node has its own.
MARKS = ("mac", "uuid", "serial")
# `{name}`, `{n}`, `{rack}` and `{VARIABLE}` are the node's in these: what a thousand nodes say
# alike but for their number.
FILLED = frozenset({"hostname", "network", "power"})
# The group of all nodes, where no file speaks of it.
_SILENT = Layer({}, lambda path: "", ALL)
_NUMBER = re.compile(r"[0-9]+$")
_TEMPLATE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


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
    networks: Networks

    def merged(self, node: str) -> Merged:
        layers = (self.layers[group] for group in self.groups_of[node])
        return merge((self.declared[node].layer, *layers))

    def node(self, name: str) -> Node:
        weighed = sorted(self.groups_of[name], key=self._weight)
        return _node(name, self.merged(name), weighed, self.networks)

    def network(self, name: str) -> tuple[Interface, ...]:
        """Raises Misfit where the networks of the site do not make one of what is written."""
        return _network(filled(name, self.merged(name)), self.networks)

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
    node_files: Sequence[Document[NodesFile]],
    group_files: Sequence[Document[GroupsFile]],
    networks: Networks,
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
        networks=networks,
    )


def sample(layer: Layer, networks: Networks) -> Node:
    """A node that says nothing and is in one group; without its network, where that waits for
    what members say.
    """
    node = _node("n1", merge((layer,)), (), networks)
    waits = _TEMPLATE.search(str(node.network))
    return msgspec.structs.replace(node, network=()) if waits else node


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


def _node(name: str, merged: Merged, groups: Sequence[str], networks: Networks) -> Node:
    """Without its power or its network where that makes no sense; the checks speak of it."""
    values = filled(name, merged)
    network: tuple[Interface, ...] = ()
    power: Power = NoPower()
    with contextlib.suppress(Misfit):
        network = _network(values, networks)
    with contextlib.suppress(Misfit):
        power = power_of(values.pop("power", {}))
    own = {"name": name, "groups": groups, "network": ()}
    words = msgspec.convert({**values, **own}, Node)
    return msgspec.structs.replace(words, network=network, power=power)


def _network(values: Mapping[str, Value], networks: Networks) -> tuple[Interface, ...]:
    return settled(attached(values.get("network", [])), networks)


def attached(network: Value) -> tuple[InterfaceEntry, ...]:
    """`network` of a node, filled in: what the type of the file let pass."""
    return msgspec.convert(network, tuple[InterfaceEntry, ...])


def filled(node: str, merged: Merged) -> dict[str, Value]:
    """What holds for `node`, its templates filled in."""
    values = merged.values()
    meanings = _meanings(node, values)
    return {key: _fill(v, meanings) if key in FILLED else v for key, v in values.items()}


def _meanings(node: str, values: Mapping[str, Value]) -> dict[str, str]:
    variables = values.get("variables")
    meanings = {
        key: str(value).lower() if isinstance(value, bool) else str(value)
        for key, value in (variables.items() if isinstance(variables, dict) else ())
    }
    meanings["name"] = node
    if found := _NUMBER.search(node):
        meanings["n"] = str(int(found[0]))
    if rack := values.get("rack"):
        meanings["rack"] = str(rack)
    return meanings


def _fill(value: Value, meanings: Mapping[str, str]) -> Value:
    match value:
        case str():
            return _TEMPLATE.sub(lambda found: meanings.get(found[1], found[0]), value)
        case list():
            return [_fill(item, meanings) for item in value]
        case dict():
            return {key: _fill(item, meanings) for key, item in value.items()}
        case _:
            return value
