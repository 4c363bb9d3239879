# SPDX-License-Identifier: GPL-2.0-or-later
"""Names for NICs that have none, where a stack can refer to a NIC by its name only."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count

import msgspec

from swarmstrap.networks.links import Link


def with_names(links: Sequence[Link]) -> list[Link]:
    """`links`, all with a name: lan0, lan1 and so on."""
    free = _free({link.name for link in links})
    names = {link.key: link.name or next(free) for link in links}
    named = []
    for link in links:
        new = names[link.key]
        spec = msgspec.structs.replace(link.spec, name=new)
        members = tuple(names[member] for member in link.members)
        lower = names.get(link.lower, "")
        named.append(replace(link, key=new, spec=spec, members=members, lower=lower))
    return named


def _free(taken: set[str]) -> Iterator[str]:
    return (name for name in (f"lan{number}" for number in count()) if name not in taken)
