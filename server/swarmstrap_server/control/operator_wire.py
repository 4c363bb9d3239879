# SPDX-License-Identifier: GPL-2.0-or-later
"""The JSON of the operator API, which the CLI, the dashboard and programs speak. `api/table.py`
has the routes.
"""

from typing import Annotated, Literal, get_args

import msgspec

from swarmstrap.hardware import Inventory
from swarmstrap.limits import Limit
from swarmstrap.selectors import Selection
from swarmstrap.wire import Event, Finish, Mode, PlanReport, Verify
from swarmstrap_server.control.limits import Run
from swarmstrap_server.control.nodes import Deployment, State

BASE = "/api/v1"

# Each may all that those before it may.
Role = Literal["viewer", "operator", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)


class NodeView(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`deployment` is the latest that was not taken back, `limit` how near its fetch came to what
    the hardware allows; `seen` is when the node last spoke; `groups` has the weightiest first.
    """

    name: str
    state: State
    in_site: bool
    uuid: str
    macs: tuple[str, ...]
    serial: str = ""
    groups: tuple[str, ...] = ()
    address: str
    seen: float | None
    has_inventory: bool
    deployment: Deployment | None
    limit: Limit | None = None


class Arm(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Empty `version`, `layout`, `finish` and `verify` mean the newest, and what site and node say.

    `preserve` comes on top of the site's; an update takes its layout from what it updates.
    """

    nodes: tuple[str, ...]
    image: str
    version: str = ""
    layout: str = ""
    finish: Finish | None = None
    minutes: int | None = None
    mode: Mode = "deploy"
    preserve: tuple[str, ...] = ()
    allow_older: bool = False
    verify: Verify | None = None


class Naming(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a machine that no file has is to be called, and the groups that it is to be in."""

    name: str
    groups: tuple[str, ...] = ()


class Named(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A machine with a name that no file has; `by` says who gave it."""

    name: str
    groups: tuple[str, ...]
    uuid: str
    macs: tuple[str, ...]
    serial: str
    by: str


class Disarm(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    nodes: tuple[str, ...]


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An event of `node` as the server took it; `id` is 0 for progress, which is not kept.

    Of events that came together only the last has `view`: the node after all of them.
    """

    id: int
    received: float
    node: str
    event: Event
    view: NodeView | None = None


class Added(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Of the events that were brought so many are `new`, and so many were `heard` before;
    `deployment` is as it is with all of them.
    """

    new: int
    heard: int
    deployment: Deployment


class Snapshot(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`missed` counts the events that were too many to be told again."""

    nodes: tuple[NodeView, ...]
    missed: int = 0


class NodesPage(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`next` is the `after` of the next page, empty on the last one; so it is in every page."""

    items: tuple[NodeView, ...]
    next: str = ""


class DeploymentsPage(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    items: tuple[Deployment, ...]
    next: str = ""


class EventsPage(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    items: tuple[Record, ...]
    next: str = ""


class NodeDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`plan` is that of the node's deployment, `events` are the last, oldest first."""

    node: NodeView
    inventory: Inventory | None
    plan: PlanReport | None
    events: tuple[Record, ...]


class PlanWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is to be planned; `image` is NAME or NAME:VERSION. What is left out is as the node is
    armed, and as site and node say where it is not.
    """

    image: str = ""
    layout: str = ""
    mode: Mode | None = None
    finish: Finish | None = None
    verify: Verify | None = None


class NodePlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a deployment would do, a line for each step, and for each disk of the layout which rule
    took or rejected what; or why it would stop there: then `refused` is not empty, and `hint` is
    what to do.
    """

    digest: str = ""
    disks: tuple[Selection, ...] = ()
    lines: tuple[str, ...] = ()
    refused: str = ""
    hint: str = ""


class SiteSummary(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`states` counts the nodes that are in each."""

    name: str
    boot_url: str
    node_url: str
    operator_url: str
    layouts: tuple[str, ...]
    hooks: tuple[str, ...]
    nodes: int
    states: dict[State, int]


class SiteCheck(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`problems` are lines with a file in front, and the line in it; `site` is its name, empty
    when site.yaml does not tell.
    """

    problems: tuple[str, ...]
    site: str = ""
    nodes: int = 0
    layouts: int = 0
    hooks: int = 0


class Status(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`announces` and `peers` are the tracker's; `runs` are those under way and the last that
    ended; the rest is the seeder's, whose rate is in bytes a second.
    """

    site: str
    boot_url: str
    node_url: str
    announces: int
    peers: int
    seeder_running: bool
    seeder_uploaded: int
    seeder_rate: int
    runs: tuple[Run, ...] = ()


class Token(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Times are seconds since 1970; no `expires` means until it is revoked."""

    name: str
    role: Role
    created: float
    expires: float | None = None
    used: float | None = None


class NewToken(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Good for `days`, or until it is revoked."""

    name: str
    role: Role
    days: Annotated[float, msgspec.Meta(gt=0, le=36500)] | None = None


class MadeToken(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The secret itself, for the `Authorization: Bearer` header; nobody is shown it again."""

    token: str


class Try(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`status` is what a hook answered, None when it did not; `outcome` says which, or why not."""

    at: float
    status: int | None
    outcome: str

    @property
    def taken(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


class Delivery(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One message to one hook, written when it was `made`. It tells the `event` of `subject`, the
    identifier of a deployment, which has a `node`, of a rollout or of a trial.

    `next_try` is None when none follows: it was `delivered`, or given up. `outcome` is that of the
    last try, empty before the first. Of `tries` the first is the oldest.
    """

    id: str
    event: str
    subject: str
    node: str
    made: float
    attempts: int
    next_try: float | None
    delivered: bool
    outcome: str
    tries: tuple[Try, ...]


class Hook(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A webhook and its last deliveries, newest first. No `events` means all of them; `in_site`
    says whether the site has it still. `name` is its host where the site gives it none.
    """

    name: str
    url: str
    events: tuple[str, ...]
    in_site: bool
    deliveries: tuple[Delivery, ...]


class ProblemDetails(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """RFC 9457, extended by `hint`, which is what to do. `type` is a path of this server that
    explains this kind of problem; `detail` says what was wrong this time.
    """

    type: str
    title: str
    status: int
    detail: str
    hint: str = ""
