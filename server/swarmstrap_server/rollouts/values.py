# SPDX-License-Identifier: GPL-2.0-or-later
"""Rollouts and reservations, as they are ordered, kept and shown. Times are seconds since 1970."""

from collections import Counter
from typing import Annotated, Literal

import msgspec

from swarmstrap.errors import BadInput
from swarmstrap.wire import Mode
from swarmstrap_server.control.operator_wire import Arm

Seconds = Annotated[float, msgspec.Meta(gt=0, le=86400)]

MemberState = Literal[
    "waiting", "powering", "booting", "deploying", "deployed", "failed", "cancelled"
]
ENDED: frozenset[MemberState] = frozenset({"deployed", "failed", "cancelled"})


class Pace(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """At most `actions` nodes are switched within any `seconds`, for the sake of fuses, and at most
    `deploying` are at work at a time (0: any number). Switching a node and its way through the
    firmware to the server end after `power_seconds` and `boot_seconds`.
    """

    actions: Annotated[int, msgspec.Meta(ge=1)] = 16
    seconds: Seconds = 30.0
    deploying: Annotated[int, msgspec.Meta(ge=0)] = 0
    power_seconds: Seconds = 300.0
    boot_seconds: Seconds = 600.0


class Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`arm.nodes` may have groups, ranges and `all`. Without `power` somebody starts the machines.
    A node that cannot be switched, does not come or falls silent is tried `retries` times more.
    """

    arm: Arm
    power: bool = True
    pace: Pace = Pace()
    retries: Annotated[int, msgspec.Meta(ge=0, le=10)] = 1


def checked(order: Order) -> Order:
    """The order, which a form or a command line was put together for; raises BadInput for what no
    order can have.
    """
    try:
        return msgspec.convert(msgspec.to_builtins(order), Order)
    except msgspec.ValidationError as error:
        raise BadInput(f"this cannot be ordered: {error}") from error


class Member(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One node of a rollout, in `state` since `since`. `switched` says whether the server switches
    it, `deployment` what it is armed with, until `until`; `tries` counts from 1 when it began.
    """

    node: str
    switched: bool
    since: float
    state: MemberState = "waiting"
    tries: int = 0
    deployment: str = ""
    until: float = 0.0
    reason: str = ""
    hint: str = ""

    @property
    def ended(self) -> bool:
        return self.state in ENDED


class Rollout(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Ordered `by` whom; `order` has one version of the image, and the names of nodes.
    `switchings` are when nodes were switched, as far back as the pace looks; `ended` is when the
    last member came to its end.
    """

    id: str
    by: str = ""
    order: Order
    created: float
    members: tuple[Member, ...]
    cancelled: bool = False
    ended: float | None = None
    switchings: tuple[float, ...] = ()

    @property
    def title(self) -> str:
        return self.summary.title

    @property
    def failed(self) -> tuple[Member, ...]:
        """All that ended without the image."""
        return tuple(m for m in self.members if m.state in ("failed", "cancelled"))

    @property
    def summary(self) -> "RolloutSummary":
        arm = self.order.arm
        return RolloutSummary(
            id=self.id,
            by=self.by,
            image=arm.image,
            version=arm.version,
            mode=arm.mode,
            created=self.created,
            cancelled=self.cancelled,
            ended=self.ended,
            states=dict(Counter(member.state for member in self.members)),
        )


class RolloutSummary(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A rollout as lists have it: `states` counts its members."""

    id: str
    by: str
    image: str
    version: str
    mode: Mode
    created: float
    cancelled: bool
    ended: float | None
    states: dict[MemberState, int]

    @property
    def nodes(self) -> int:
        return sum(self.states.values())

    @property
    def title(self) -> str:
        return f"{self.image}:{self.version} to {self.nodes} node{'s' if self.nodes > 1 else ''}"


class RolloutsPage(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`next` is the `after` of the next page, empty on the last one."""

    items: tuple[RolloutSummary, ...]
    next: str = ""


class NewReservation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The nodes of the order are lent `until` then."""

    order: Order
    until: float


class Reservation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Lent to `by`, with a rollout that began it. `left` are the nodes that are still to be
    returned, `returns` the rollouts that do that, `ended` is when the last of those began; `reason`
    says why it takes long.
    """

    id: str
    by: str
    nodes: tuple[str, ...]
    order: Order
    rollout: str
    begins: float
    until: float
    left: tuple[str, ...]
    returns: tuple[str, ...] = ()
    ended: float | None = None
    tried: float | None = None
    reason: str = ""
