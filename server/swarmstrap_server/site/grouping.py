# SPDX-License-Identifier: GPL-2.0-or-later
"""Who is in which group, from both sides: groups name nodes and groups, nodes name groups."""

from collections.abc import Iterable, Mapping

from swarmstrap.errors import BadInput
from swarmstrap_server.site import ranges
from swarmstrap_server.site.words import ALL, GroupEntry


def containing(groups: Mapping[str, GroupEntry]) -> dict[str, frozenset[str]]:
    """For each group those that contain it, directly or not; one that contains itself is there."""
    direct: dict[str, list[str]] = {name: [] for name in groups}
    for name, group in groups.items():
        for inner in group.groups:
            direct.setdefault(inner, []).append(name)
    return {name: frozenset(_all_above(name, direct)) for name in groups}


def _all_above(name: str, direct: Mapping[str, Iterable[str]]) -> set[str]:
    found: set[str] = set()
    waiting = list(direct.get(name, ()))
    while waiting:
        outer = waiting.pop()
        if outer not in found:
            found.add(outer)
            waiting += direct.get(outer, ())
    return found


def named_members(group: GroupEntry) -> set[str]:
    """The nodes that the group names itself; what is not a range is for the checks to say."""
    found: set[str] = set()
    for member in group.members:
        try:
            found.update(ranges.expand(member) if ranges.is_range(member) else (member,))
        except BadInput:
            continue
    return found


def groups_of(
    nodes: Mapping[str, Iterable[str]], groups: Mapping[str, GroupEntry]
) -> dict[str, frozenset[str]]:
    """For each node the groups it is in; `nodes` maps it to those that it names itself."""
    above = containing(groups)
    direct: dict[str, set[str]] = {name: set(own) for name, own in nodes.items()}
    for name, group in groups.items():
        for member in named_members(group):
            if member in direct:
                direct[member].add(name)
    known = {name: frozenset((name,)) | above[name] for name in groups}
    return {
        node: frozenset((ALL,)).union(*(known.get(group, ()) for group in own))
        for node, own in direct.items()
    }
