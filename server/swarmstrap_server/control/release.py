# SPDX-License-Identifier: GPL-2.0-or-later
"""When a node that has the image may stop serving it. Decides, and touches nothing.

Nobody waits for the last straggler who need not: a few stay, of the racks in which somebody still
fetches and among those the ones that began last, and the others leave.
"""

import math
from collections.abc import Callable, Iterable

from swarmstrap.wire import Release
from swarmstrap_server.control.nodes import ABSENCE_SECONDS, Deployment

# While more fetch than there are seeders, at least so many nodes serve them.
FEWEST = 4
# Nodes that serve for each copy of the image that is still to be sent.
SERVERS_A_COPY = 2


def release(
    mine: Deployment,
    active: Iterable[Deployment],
    now: float,
    *,
    seeders: int,
    rack_of: Callable[[str], str],
) -> Release:
    """Whether the node of `mine`, which serves its image, may leave those that deploy the same.

    `seeders` counts the site's own that run without a limit: each sends one node as much as that
    can take. `rack_of` knows a node's rack by its name.
    """
    same = [
        other
        for other in active
        if other.infohash == mine.infohash
        and other.id != mine.id
        and now - (other.heard or now) < ABSENCE_SECONDS
    ]
    fetching = [other for other in same if not other.fetched]
    if not fetching:
        return Release(leave=True, reason="every node that is deploying this image has it")
    if len(fetching) <= seeders:
        return Release(leave=True, reason=f"the site's seeders serve {_names(fetching)}")
    needy = {rack_of(other.node) for other in fetching}

    def rank(deployment: Deployment) -> tuple[bool, float, str]:
        return rack_of(deployment.node) in needy, deployment.started or 0.0, deployment.id

    # Of those that still make the image bootable nobody knows for how long they will serve.
    above = sum(other.phase == "seed" and rank(other) > rank(mine) for other in same)
    if above >= servers_wanted(fetching):
        return Release(leave=True, reason=f"{above} other nodes serve {_names(fetching)}")
    return Release(leave=False, reason=f"still without the image: {_names(fetching)}")


def servers_wanted(fetching: Iterable[Deployment]) -> int:
    """How many nodes that have the image are to serve these, from what they still lack."""
    missing = sum(1.0 - (_received(deployment)) for deployment in fetching)
    return max(FEWEST, math.ceil(SERVERS_A_COPY * missing))


def _received(deployment: Deployment) -> float:
    """The part of the image that the node has, 0..1."""
    return (deployment.progress or 0.0) if deployment.phase == "image" else 0.0


def _names(deployments: list[Deployment]) -> str:
    names = sorted(deployment.node for deployment in deployments)
    return ", ".join(names[:3]) + (" and others" if len(names) > 3 else "")
