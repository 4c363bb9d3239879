# SPDX-License-Identifier: GPL-2.0-or-later
"""What the agent and the server say to each other: routes and the JSON of the node API.

All of it travels over TLS with the site's CA pinned. Times are seconds since 1970. A request that
is refused answers 4xx with a `Problem`; 5xx and broken connections may be tried again.
"""

from typing import Annotated, Literal

import msgspec

from swarmstrap.hardware import Inventory
from swarmstrap.layout import Layout
from swarmstrap.networks.values import Interface

REGISTER = "/v1/register"  # POST Register -> Registered
JOB = "/v1/job"  # POST Claim, bearer = token -> Job; the token is used up
EVENTS = "/v1/events"  # POST Events, bearer = session -> Taken
LOG = "/v1/log"  # POST NodeLog, bearer = session -> 204
SEEDING = "/v1/seeding"  # POST Seeding, bearer = session -> Release
PASSING = "/v1/passing"  # POST Passing, bearer = session -> PassOn
PLAN = "/v1/plan"  # POST PlanReport, bearer = session -> 204

# The finish event of this name ends a deployment that was only planned.
DRY_RUN = "dry-run"
# A log event of this name stands for others that nobody can tell any more.
GAP = "events"
# Where the system that a node installed has an `Unheard`.
UNHEARD = "/var/log/swarmstrap-unheard.json"

Finish = Literal["reboot", "kexec", "poweroff", "shell"]
OnFailure = Literal["retry", "shell", "reboot", "poweroff"]
Result = Literal["", "success", "warning", "fail"]
# `deploy` begins with empty filesystems, `update` changes those of an earlier deployment.
Mode = Literal["deploy", "update"]
# `written`: what was written had its hash; `full`: read back from the disk, it has it still.
Verify = Literal["written", "full"]
# Whether firmware goes on asking the network before it starts the system on the disk.
BootOrder = Literal["network-first", "disk-first"]


class Problem(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    error: str
    hint: str = ""


class Register(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`boot_id` is the kernel's random id of this boot."""

    inventory: Inventory
    boot_id: str
    version: str


class Registered(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`token` is empty unless an operator armed this node; `reason` then says why not."""

    node: str
    token: str = ""
    reason: str = ""


class Claim(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A random word of this one request: whoever lost the answer shows it and is answered again."""

    claim: Annotated[str, msgspec.Meta(min_length=16)]


class Hook(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A post-install hook. `content` is the file, `signature` its SSHSIG (namespace
    swarmstrap-hook); it runs in the initramfs or, after chroot, in the new system.
    """

    name: str
    where: Literal["initramfs", "chroot"]
    content: bytes
    signature: bytes
    timeout: float = 300.0


class OverlayFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`path` is absolute in the installed system, without the suffix of a template; `content` of a
    link is what it points to. Owners are numbers.
    """

    path: str
    kind: Literal["file", "template", "link"] = "file"
    content: bytes
    mode: int = 0o644
    owner: int = 0
    group: int = 0


class Overlay(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Files laid over the image; `signature` is the SSHSIG (namespace swarmstrap-overlay) of the
    list that `swarmstrap.overlays.listing` makes of them.
    """

    name: str
    files: tuple[OverlayFile, ...]
    signature: bytes = b""


class Failure(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the node does when a deployment fails; `retry` gives up as `then` after `attempts`."""

    action: OnFailure = "reboot"
    attempts: int = 2
    then: Literal["shell", "reboot", "poweroff"] = "reboot"


class Job(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything one node needs for one deployment.

    `manifest` and `signature` are the files' exact bytes. `torrent` is the .torrent's bytes;
    `trackers`, `web_seeds` and `deal` are URLs of this site, which are not part of the image;
    without `deal` the node takes everything from the swarm. `seeders` are the addresses of further
    seeders of this site, to be told apart from nodes.
    `session` is the bearer of every later request. An update names as `origin` the deployment that
    partitioned the disks, from which their UUIDs derive; it leaves alone what `preserve` matches.
    No disk that fits an entry of `skip_block_devices` is chosen, whatever the layout says.
    `secrets` are passphrases of LUKS volumes by name: known to nothing but memory and the volumes.
    A node that `passes_on` asks what, by `Passing`. `groups` and `variables` are the site's words
    for hooks and templates; of two `overlays` that have a path the later one holds.
    """

    deployment: str
    node: str
    session: str
    manifest: bytes
    signature: bytes
    torrent: bytes
    layout: Layout
    skip_block_devices: tuple[dict[str, str | int | bool], ...] = ()
    trackers: tuple[str, ...] = ()
    web_seeds: tuple[str, ...] = ()
    seeders: tuple[str, ...] = ()
    deal: str = ""
    hostname: str = ""
    network: tuple[Interface, ...] = ()
    groups: tuple[str, ...] = ()
    variables: dict[str, str] = {}
    hooks: tuple[Hook, ...] = ()
    overlays: tuple[Overlay, ...] = ()
    authorized_keys: tuple[str, ...] = ()
    finish: Finish = "reboot"
    failure: Failure = Failure()
    seed_seconds: float = 600.0
    boot_order: BootOrder = "network-first"
    mode: Mode = "deploy"
    origin: str = ""
    preserve: tuple[str, ...] = ()
    allow_older: bool = False
    secrets: dict[str, str] = {}
    verify: Verify = "written"
    passes_on: bool = False


class Usage(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What fetching and writing an image has taken of its node, in the `seconds` since it began.

    `link_rate` is what the NIC says it can, in bytes a second, 0 when it says nothing; `best_rate`
    is the most that came within a second. `processor` sums up what the machine's `cores` spent in
    the kernel, and outside it on the agent and its writers. These had `own` seconds in all, and
    the busiest of their threads had `thread`. For `disk` seconds the busiest disk of the target had
    requests; `disk_wait` sums up those in which writers stood still. None is what could not be
    measured.
    """

    seconds: float
    link_rate: int = 0
    best_rate: int = 0
    cores: int = 1
    processor: float = 0.0
    own: float = 0.0
    thread: float = 0.0
    disk: float | None = None
    disk_wait: float | None = None


class Event(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A curtin-shaped record: `name` is hierarchical (`do/fetch`), `sequence` counts per boot.

    A `finish` with `warning` failed and is tried again, with `fail` it is the end.
    `progress` is 0..1; `from_seeder` and `from_peers` are payload bytes received so far, `usage` is
    what that has taken.
    """

    sequence: int
    time: float
    kind: Literal["start", "progress", "finish", "log"]
    name: str
    description: str = ""
    result: Result = ""
    hint: str = ""
    progress: float | None = None
    from_seeder: int | None = None
    from_peers: int | None = None
    usage: Usage | None = None


class Events(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All that happened after event number `after`, up to the last of these, but for progress that
    was replaced. A server that does not have that number takes none of them.
    """

    events: tuple[Event, ...]
    after: int = 0


class Taken(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The server has the events up to number `sequence`; those after it are to be sent again. What
    is mere progress may wait `pause` seconds, so that many nodes are not too many.
    """

    sequence: int
    pause: float = 0.0


class Unheard(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a node could not tell its server, as UNHEARD has it.

    `session` is the SHA-256 (hex) of the job's: a deployment may have been begun more than once.
    """

    deployment: str
    session: str
    events: tuple[Event, ...]


class NodeLog(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the agent logged in this boot, all of it or its end, and the kernel's last lines."""

    agent: str
    kernel: str = ""


class PlanReport(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The plan the node made: one line a step, and the digest that the server can compare."""

    digest: str
    lines: tuple[str, ...]


class Seeding(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Sent while a finished node serves its peers; counts are payload bytes."""

    uploaded: int
    peers: int


class Release(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`leave` is true as soon as the swarm does not need the node any more."""

    leave: bool
    reason: str = ""


class Passing(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Said every two seconds, and whenever a transfer ends, by a node that passes the installer on:
    the sha256 (hex) of what it `holds`, served by `port` as /SHA256, and its transfers just now.
    """

    port: int = 0
    holds: tuple[str, ...] = ()
    transfers: int = 0
    leaves: bool = False


class BootFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`url` is the server's; with `?shared` it may lead to another node."""

    url: str
    size: int
    sha256: str


class PassOn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Without `files` the node is not needed, or not any more."""

    files: tuple[BootFile, ...] = ()
