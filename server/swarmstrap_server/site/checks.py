# SPDX-License-Identifier: GPL-2.0-or-later
"""What types cannot say about a site's files: addresses, sizes, names that must exist.

Every value that later ends in an iPXE script, a kernel command line or a daemon's configuration
is narrowed here, where file and line are known. A check returns a complaint, or nothing.
"""

import ipaddress
import re
from collections.abc import Iterator, Sequence
from typing import TypeVar

from swarmstrap.errors import BadInput
from swarmstrap.hints import Match
from swarmstrap.layout import Layout
from swarmstrap.layoutcheck import check_layout
from swarmstrap.selectors import parse_skip
from swarmstrap.units import parse_size
from swarmstrap_server.netboot.dhcp import DhcpSettings
from swarmstrap_server.site.settings import Settings
from swarmstrap_server.site.yamlfile import Document, Steps, nearest

T = TypeVar("T")
Finding = tuple[Steps, str]

HOOK_NAME = re.compile(r"[0-9]{2}-[A-Za-z0-9][A-Za-z0-9._-]*")
SITE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}")
NODE_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
HOST_NAME = re.compile(rf"{NODE_NAME.pattern}(?:\.{NODE_NAME.pattern})*")
RACK = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
WEB_ADDRESS = re.compile(r"https?://[^\s/?#]+[^\s#]*")
# No quote, no space but between words, nothing that iPXE or a shell would expand.
KERNEL_ARGUMENTS = re.compile(r"(?:[A-Za-z0-9_.,:=/@%+~-]+(?: |$))*")


def settings_problems(document: Document[Settings], layouts: Sequence[str]) -> list[BadInput]:
    return _problems(document, _settings_findings(document.value, layouts))


def layout_problems(document: Document[Layout]) -> list[BadInput]:
    return _problems(document, _layout_findings(document.value))


def _problems(document: Document[T], findings: Iterator[Finding]) -> list[BadInput]:
    return [document.problem(path, complaint) for path, complaint in findings if complaint]


def _settings_findings(settings: Settings, layouts: Sequence[str]) -> Iterator[Finding]:
    yield ("name",), shape(settings.name, SITE_NAME, "a name for a site")
    yield ("address",), _address(settings.address)
    yield ("installer_arguments",), kernel_arguments(settings.installer_arguments)
    yield ("defaults", "layout"), one_of(settings.defaults.layout, layouts, "layout")
    if settings.swarm.seeder_rate:
        yield ("swarm", "seeder_rate"), _size(settings.swarm.seeder_rate)
    yield from _swarm_findings(settings)
    yield ("defaults", "skip_block_devices"), _skip(settings.defaults.skip_block_devices)
    ports = settings.ports
    if len({ports.boot, ports.node, ports.operator, ports.seeder, ports.deal}) < 5:
        yield ("ports",), "boot, node, operator, seeder and deal need five different ports"
    yield ("dhcp",), _dhcp(settings)
    yield from _webhook_findings(settings)


def _webhook_findings(settings: Settings) -> Iterator[Finding]:
    known: set[str] = set()
    for position, hook in enumerate(settings.webhooks):
        path: Steps = ("webhooks", position)
        yield (*path, "url"), shape(hook.url, WEB_ADDRESS, "an http or https URL")
        if hook.name:
            yield (*path, "name"), shape(hook.name, NODE_NAME, "a webhook's name")
        if not known.isdisjoint((hook.called, hook.url)):
            yield path, f"another webhook is called {hook.called}, or has this URL"
        known |= {hook.called, hook.url}


def _swarm_findings(settings: Settings) -> Iterator[Finding]:
    yield ("swarm", "rack"), rack(settings.swarm.rack)
    known = {(settings.address, settings.ports.seeder)}
    for position, seeder in enumerate(settings.swarm.seeders):
        path: Steps = ("swarm", "seeders", position)
        yield (*path, "address"), _address(seeder.address)
        yield (*path, "rack"), rack(seeder.rack)
        if (seeder.address, seeder.port) in known:
            yield path, f"{seeder.address} port {seeder.port} is a seeder already"
        known.add((seeder.address, seeder.port))


def dhcp_settings(settings: Settings) -> DhcpSettings | None:
    """What dnsmasq needs, None where it is not wanted; raises BadInput or ValueError."""
    dhcp = settings.dhcp
    if dhcp.mode == "off":
        return None
    return DhcpSettings(
        mode=dhcp.mode,
        interface=dhcp.interface,
        server=ipaddress.IPv4Address(settings.address),
        boot_port=settings.ports.boot,
        network=ipaddress.IPv4Network(dhcp.network),
        pool=_pool(dhcp.range) if dhcp.range else None,
        router=ipaddress.IPv4Address(dhcp.router) if dhcp.router else None,
        dns=tuple(map(ipaddress.IPv4Address, dhcp.dns)),
        ipv6_prefix=ipaddress.IPv6Network(dhcp.ipv6_prefix) if dhcp.ipv6_prefix else None,
        secure_boot=dhcp.secure_boot,
    )


def _pool(given: tuple[str, str]) -> tuple[ipaddress.IPv4Address, ipaddress.IPv4Address]:
    first, last = map(ipaddress.IPv4Address, given)
    return first, last


def _dhcp(settings: Settings) -> str:
    try:
        dhcp_settings(settings)
    except (BadInput, ValueError) as error:
        return f"dhcp: {str(error).removeprefix('dhcp: ')}"
    return ""


def _layout_findings(layout: Layout) -> Iterator[Finding]:
    try:
        check_layout(layout)
    except BadInput as error:
        yield _layout_place(layout, error.message), str(error)


def _layout_place(layout: Layout, message: str) -> Steps:
    """Where in the file `message`, which says what it is about, belongs."""
    path: Steps = ()
    rest = message
    # What lies deeper comes later, and begins with the place above it.
    for place, steps in _layout_places(layout):
        if message.startswith((f"{place}: ", f"{place} ")):
            path, rest = steps, message.removeprefix(place).removeprefix(": ")
    return (*path, rest.partition(":")[0])


def _layout_places(layout: Layout) -> Iterator[tuple[str, Steps]]:
    for d, disk in enumerate(layout.disks):
        yield f"disk {disk.id}", ("disks", d)
        for p, partition in enumerate(disk.partitions):
            place = f"disk {disk.id}: partition {partition.label}"
            yield place, ("disks", d, "partitions", p)
    for a, array in enumerate(layout.raid):
        yield f"raid {array.name}", ("raid", a)
    for n, volume in enumerate(layout.luks):
        yield f"luks {volume.name}", ("luks", n)
    for g, group in enumerate(layout.volume_groups):
        place = f"volume group {group.name}"
        yield place, ("volume_groups", g)
        for v, logical in enumerate(group.volumes):
            yield f"{place}: volume {logical.name}", ("volume_groups", g, "volumes", v)
        for q, pool in enumerate(group.pools):
            yield f"{place}: pool {pool.name}", ("volume_groups", g, "pools", q)


def kernel_arguments(text: str) -> str:
    if KERNEL_ARGUMENTS.fullmatch(text):
        return ""
    return f"{text!r} has characters that do not belong on a kernel command line"


def shape(text: str, pattern: re.Pattern[str], what: str) -> str:
    return "" if pattern.fullmatch(text) else f"{text!r} is not {what}"


def rack(name: str) -> str:
    return shape(name, RACK, "a rack's name") if name else ""


def one_of(name: str, known: Sequence[str], what: str) -> str:
    """What is wrong with a name that is none of the `known`, with the nearest of them."""
    return "" if name in known else f"no {what} {name!r}{nearest(name, list(known))}"


def _size(text: str) -> str:
    try:
        parse_size(text)
    except BadInput as error:
        return str(error)
    return ""


def _skip(entries: Sequence[Match]) -> str:
    try:
        parse_skip(entries)
    except BadInput as error:
        return str(error)
    return ""


def _address(text: str) -> str:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return f"{text!r} is not an IPv4 address"
    return ""
