# SPDX-License-Identifier: GPL-2.0-or-later
"""What a node says, over what its groups say: the weightiest word holds, and tells whose it is.

Keys are dotted where a mapping is merged key by key; everything else, a list too, is replaced as a
whole.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from swarmstrap_server.site.words import ALL
from swarmstrap_server.site.yamlfile import Steps, Value

# Mappings of which every layer may say a part.
MERGED = ("variables", "power")
_DRIVER = "power.driver"
Weight = tuple[bool, bool, int, int, str]


@dataclass(frozen=True, slots=True)
class Layer:
    """What one entry of the files says: a node of itself, or `group` for its members. `at` tells
    file and line of a path below the entry; `above` names the groups that contain this one.
    """

    values: Mapping[str, Value]
    at: Callable[[Steps], str]
    group: str = ""
    priority: int = 0
    above: frozenset[str] = frozenset()

    @property
    def owner(self) -> str:
        return f"group {self.group}" if self.group else "the node"

    @property
    def weight(self) -> Weight:
        """To sort by, weightiest first: the node before its groups, `all` after them, and within a
        priority a group before those that contain it.
        """
        return self.group == ALL, bool(self.group), -self.priority, -len(self.above), self.group

    def disputes(self, lighter: "Layer") -> bool:
        """Whether it is only by chance that this one holds, where both say something."""
        return (
            self.group not in ("", ALL)
            and lighter.group != ALL
            and self.priority == lighter.priority
            and lighter.group not in self.above
        )


@dataclass(frozen=True, slots=True)
class Said:
    """A word that holds, and whose it is."""

    key: str
    value: Value
    layer: Layer

    @property
    def place(self) -> str:
        return self.layer.at(tuple(self.key.split(".")))


@dataclass(frozen=True, slots=True)
class Dispute:
    """Two groups of one priority, neither within the other, that say different things."""

    key: str
    one: Layer
    other: Layer

    def __str__(self) -> str:
        path = tuple(self.key.split("."))
        return (
            f"{self.one.at(path)}: {self.key} is another one in {self.other.owner} "
            f"({self.other.at(path)}), which has the same priority"
        )


@dataclass(frozen=True, slots=True)
class Merged:
    said: Mapping[str, Said]
    disputes: Sequence[Dispute]

    def place(self, path: Steps) -> str:
        """File and line of what stands at `path` of the values, or of what is nearest to it."""
        for key in (".".join(map(str, path[:2])), str(path[0])):
            if key in self.said:
                return self.said[key].layer.at(path)
        return next(said.place for key, said in self.said.items() if key.startswith(str(path[0])))

    def values(self) -> dict[str, Value]:
        """As one would have written them for this node alone."""
        plain: dict[str, Value] = {}
        inner: dict[str, dict[str, Value]] = {}
        for key, word in self.said.items():
            outer, dot, rest = key.partition(".")
            if dot:
                inner.setdefault(outer, {})[rest] = word.value
            else:
                plain[key] = word.value
        return {**plain, **inner}


def merge(layers: Iterable[Layer]) -> Merged:
    """`layers` are the node's own and those of its groups, in any order."""
    said: dict[str, Said] = {}
    disputes = []
    weighed = sorted(layers, key=lambda layer: layer.weight)
    driver = next((layer.values[_DRIVER] for layer in weighed if _DRIVER in layer.values), None)
    for layer in weighed:
        for key, value in layer.values.items():
            if key.startswith("power.") and not _is_of_driver(key, layer, driver):
                continue
            first = said.setdefault(key, Said(key, value, layer))
            if first.value != value and first.layer.disputes(layer):
                disputes.append(Dispute(key, first.layer, layer))
    return Merged(said, disputes)


def _is_of_driver(key: str, layer: Layer, driver: Value) -> bool:
    """A node with a driver of its own wants none of the words that its groups have for another."""
    return key == _DRIVER or (driver != "none" and layer.values.get(_DRIVER, driver) == driver)


def flat(entry: Mapping[str, Value], keys: Iterable[str]) -> dict[str, Value]:
    """Those of `keys` that `entry` has; of a merged mapping each key, dotted."""
    return dict(_flat(entry, keys))


def _flat(entry: Mapping[str, Value], keys: Iterable[str]) -> Iterator[tuple[str, Value]]:
    for key in keys:
        value = entry.get(key)
        if key in MERGED and isinstance(value, dict):
            yield from ((f"{key}.{inner}", v) for inner, v in value.items())
        elif key in entry:
            yield key, value
