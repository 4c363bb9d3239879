# SPDX-License-Identifier: GPL-2.0-or-later
"""Which nodes an operator means: names, groups, `all`, and ranges of names."""

from collections.abc import Collection, Sequence

from swarmstrap.errors import BadInput
from swarmstrap_server.site import ranges
from swarmstrap_server.site.assembling import Catalog
from swarmstrap_server.site.yamlfile import nearest

_HINT = "name nodes, groups, all, or ranges as n[001-016]: see swarmstrap node ls"


def resolve(words: Sequence[str], catalog: Catalog, others: Collection[str]) -> tuple[str, ...]:
    """Each node once, in the order of the words; `others` are machines of no file.

    Raises BadInput for a word that means no node.
    """
    known = {*catalog.declared, *others}
    names = [
        name
        for word in words
        for part in ranges.split(word)
        for name in _meant(part, catalog, known)
    ]
    return tuple(dict.fromkeys(names))


def _meant(word: str, catalog: Catalog, known: Collection[str]) -> Sequence[str]:
    if word in catalog.groups:
        members = catalog.members(word)
        if not members:
            raise BadInput(f"group {word} has no members", hint=_HINT)
        return members
    names = ranges.expand(word) if ranges.is_range(word) else (word,)
    for name in names:
        if name not in known:
            near = nearest(name, [*known, *catalog.groups])
            raise BadInput(f"no node {name!r}{near}", hint=_HINT)
    return names
