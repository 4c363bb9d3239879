# SPDX-License-Identifier: GPL-2.0-or-later
"""Many names in one word, `n[001-128]`, as ClusterShell and its relatives write them."""

import math
import re
from collections.abc import Iterable

from ClusterShell.NodeSet import RESOLVER_NOGROUP, NodeSet, NodeSetException

from swarmstrap.errors import BadInput

# More than any site has, and few enough to be written out at once.
MOST_NAMES = 65536
# ClusterShell's set operators, wildcards and groups mean nothing here.
_LETTERS = re.compile(r"[A-Za-z0-9.,/\[\]-]+")
_BRACKET = re.compile(r"\[([^\]]*)\]")
_SPAN = re.compile(r"([0-9]{1,9})-([0-9]{1,9})(?:/[0-9]+)?")
_BETWEEN_WORDS = re.compile(r",(?![^\[]*\])")


def is_range(text: str) -> bool:
    return "[" in text


def split(text: str) -> list[str]:
    """`gpu,n[1,3]` as `gpu` and `n[1,3]`."""
    return _BETWEEN_WORDS.split(text)


def expand(text: str) -> tuple[str, ...]:
    """The names of a range, lowest number first; raises BadInput."""
    hint = "write it as n[001-128], n[1-4,7] or r[1-4]n[01-32]"
    if not _LETTERS.fullmatch(text) or not _all_small(text):
        raise BadInput(f"{text!r} is not a range of at most {MOST_NAMES} names", hint=hint)
    try:
        return tuple(NodeSet(text, resolver=RESOLVER_NOGROUP))
    except NodeSetException as error:
        raise BadInput(f"{text!r} is not a range: {error}", hint=hint) from error


def fold(names: Iterable[str]) -> str:
    """The other way round: `n[001-128],web`."""
    return str(NodeSet.fromlist(list(names), resolver=RESOLVER_NOGROUP))


def _all_small(text: str) -> bool:
    """ClusterShell writes numbers out while it reads, so they are counted before."""
    return math.prod(map(_count, _BRACKET.findall(text))) <= MOST_NAMES


def _count(inside: str) -> int:
    total = 0
    for part in inside.split(","):
        span = _SPAN.fullmatch(part)
        if span is None and "-" in part:
            return MOST_NAMES + 1
        total += int(span[2]) - int(span[1]) + 1 if span else 1
    return total
