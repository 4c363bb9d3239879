# SPDX-License-Identifier: GPL-2.0-or-later
"""The words of site.yaml; docs/site.md explains each for an operator."""

import re
from typing import Annotated, Literal

import msgspec

from swarmstrap import preserving
from swarmstrap.units import parse_size
from swarmstrap.wire import BootOrder, Failure, Finish, Verify

Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
DhcpMode = Literal["off", "full", "proxy", "tftp"]
BootPeers = Literal["off", "checked", "unchecked"]
WebhookEvent = Literal[
    "deployment.deployed",
    "deployment.failed",
    "deployment.planned",
    "deployment.expired",
    "rollout.ended",
]


class Ports(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`node` and `operator` are TLS, the others speak plainly; `boot` also serves the tracker,
    `deal` gives each piece of an image to one node of its swarm.
    """

    boot: Port = 8080
    node: Port = 8443
    operator: Port = 8444
    seeder: Port = 6881
    deal: Port = 6882


class Dhcp(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`network` as in 192.0.2.0/24; `range` is (first, last), for mode full. The meaning of each
    is that of `swarmstrap_server.netboot.dhcp.DhcpSettings`.
    """

    mode: DhcpMode = "off"
    interface: str = ""
    network: str = ""
    range: tuple[str, str] | None = None
    router: str = ""
    dns: tuple[str, ...] = ()
    ipv6_prefix: str = ""
    secure_boot: bool = False


class FurtherSeeder(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A machine that runs `swarmstrap seed`, by its IPv4 address on the network of the nodes."""

    address: str
    port: Port = 6881
    rack: str = ""


class Swarm(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`seeder_rate` is a size per second, empty for no cap. `boot_peers` says whether booted nodes
    pass kernel and initramfs on, only to firmware that compares digests or to all; then
    `boot_copies` nodes at a time load them from the server. `rack` is that of the server, and
    `seeders` serve beside it.
    """

    seeder_rate: str = ""
    boot_peers: BootPeers = "off"
    boot_copies: Annotated[int, msgspec.Meta(ge=1)] = 16
    rack: str = ""
    seeders: tuple[FurtherSeeder, ...] = ()

    @property
    def rate(self) -> int:
        """Bytes a second that the server may send, 0 for no cap; raises BadInput for no size."""
        return parse_size(self.seeder_rate) if self.seeder_rate else 0


class Defaults(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a node gets that says nothing else; times in the unit of their name."""

    layout: str = "default"
    finish: Finish = "reboot"
    failure: Failure = Failure()
    seed_seconds: float = 600.0
    arm_minutes: Annotated[int, msgspec.Meta(ge=1, le=7 * 24 * 60)] = 30
    hook_seconds: Annotated[float, msgspec.Meta(gt=0)] = 300.0
    authorized_keys: tuple[Annotated[str, msgspec.Meta(pattern=r"^[^\n]+$")], ...] = ()
    preserve: tuple[str, ...] = preserving.DEFAULT
    verify: Verify = "written"
    skip_block_devices: tuple[dict[str, str | int | bool], ...] = ()
    boot_order: BootOrder = "network-first"


class Images(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What `image prune` leaves: of each image the newest `keep` versions, and what is younger than
    `keep_days`.
    """

    keep: Annotated[int, msgspec.Meta(ge=1)] = 3
    keep_days: Annotated[int, msgspec.Meta(ge=0)] = 0


class Events(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the database keeps: events of so many days, and of each node so many deployments."""

    keep_days: Annotated[int, msgspec.Meta(ge=1)] = 90
    keep_deployments: Annotated[int, msgspec.Meta(ge=1)] = 50


class Metrics(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`per_node` adds series of every node, which a room of thousands makes too many."""

    per_node: bool = False


class Webhook(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`secret_file` is below the site folder; without `events` the hook hears of all, without a
    `name` it is called by its host.
    """

    url: str
    secret_file: str
    events: tuple[WebhookEvent, ...] = ()
    name: str = ""

    @property
    def called(self) -> str:
        return self.name or host_of(self.url)


def host_of(url: str) -> str:
    """With its port, and without the name and password that may stand before it."""
    return re.split("[/?#]", url.partition("://")[2])[0].rpartition("@")[2]


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """site.yaml. `address` is the server's IPv4 address on the node network."""

    name: str
    address: str
    ports: Ports = Ports()
    dhcp: Dhcp = Dhcp()
    discovery: bool = True
    installer_arguments: str = ""
    swarm: Swarm = Swarm()
    images: Images = Images()
    defaults: Defaults = Defaults()
    events: Events = Events()
    metrics: Metrics = Metrics()
    webhooks: tuple[Webhook, ...] = ()
