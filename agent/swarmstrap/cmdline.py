# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel command line, read once into `Settings`. Keys have names, never positions."""

import difflib
import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args
from urllib.parse import urlsplit

from swarmstrap.errors import BadInput
from swarmstrap.steps import Phase

Part = Literal["look", "ask", "decide", "say"]
# Where `swarmstrap.break=` may stop: before a part of the story, or before a phase of the plan.
STOPS: tuple[str, ...] = (*get_args(Part), *get_args(Phase))

_WORD = re.compile(r'(?:[^\s"]|"[^"]*")+')
_BOOTIF = re.compile(r"(?:[0-9a-f]{2}-)?((?:[0-9a-f]{2}[-:]){5}[0-9a-f]{2})", re.IGNORECASE)
_YES = ("", "1", "yes", "on", "true")
_NO = ("0", "no", "off", "false")
_LEASE = ("ip", "mask", "gw", "dns")
KEYS = ("server", *_LEASE, "dry-run", "break")


@dataclass(frozen=True, slots=True)
class Lease:
    """An address on the boot NIC: `address` as in `192.0.2.7/24`; `gateway` may be empty."""

    address: str
    gateway: str = ""
    dns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Settings:
    """`server` is the node API's URL; `boot_mac` is empty when the boot loader did not say.

    Without a `lease` the agent asks for one by DHCP. `break_at` is one of STOPS, or empty.
    """

    server: str
    boot_mac: str = ""
    lease: Lease | None = None
    dry_run: bool = False
    break_at: str = ""


def parse(cmdline: str) -> Settings:
    """Raises BadInput, naming the argument, for anything under `swarmstrap.` that is not right."""
    given: dict[str, str] = {}
    boot_mac = ""
    for word in _words(cmdline):
        name, _, value = word.partition("=")
        if name == "BOOTIF":
            boot_mac = _mac(value)
        elif name.startswith("swarmstrap."):
            given[_known(name.removeprefix("swarmstrap."))] = value
    return Settings(
        server=_server(given.get("server", "")),
        boot_mac=boot_mac,
        lease=_lease(given),
        dry_run=_switch("dry-run", given["dry-run"]) if "dry-run" in given else False,
        break_at=_stop(given.get("break", "")),
    )


def make_lease(address: str, mask: str, gateway: str, dns: str) -> Lease:
    """A lease in the words of DHCP; `dns` separated by commas or spaces. Raises BadInput."""
    try:
        interface = ipaddress.IPv4Interface(f"{address}/{mask or 32}")
        for other in (*filter(None, [gateway]), *_several(dns)):
            ipaddress.ip_address(other)
    except ValueError as error:
        raise BadInput(
            f"not a network lease: {error}", hint="check what the boot script or DHCP hands out"
        ) from error
    return Lease(str(interface), gateway, _several(dns))


def _words(cmdline: str) -> Iterator[str]:
    for match in _WORD.finditer(cmdline):
        yield match[0].replace('"', "")


def _known(key: str) -> str:
    if key in KEYS:
        return key
    near = difflib.get_close_matches(key, KEYS, n=1, cutoff=0.0)[0]
    raise BadInput(
        f"unknown kernel argument swarmstrap.{key}", hint=f"did you mean swarmstrap.{near}?"
    )


def _mac(value: str) -> str:
    match = _BOOTIF.fullmatch(value)
    if match is None:
        raise BadInput(
            f"BOOTIF={value} is not a MAC address", hint="write it as BOOTIF=01-52-54-00-12-34-56"
        )
    return match[1].replace("-", ":").lower()


def _server(value: str) -> str:
    if not value:
        raise BadInput(
            "no swarmstrap.server on the kernel command line",
            hint="boot with swarmstrap.server=https://ADDRESS:PORT",
        )
    parts = urlsplit(value)
    if parts.scheme != "https" or not parts.hostname or parts.path.strip("/") or parts.query:
        raise BadInput(
            f"swarmstrap.server={value} is not a server", hint="write https://ADDRESS:PORT"
        )
    return value.rstrip("/")


def _lease(given: dict[str, str]) -> Lease | None:
    if not given.get("ip"):
        return None
    return make_lease(*(given.get(key, "") for key in _LEASE))


def _several(value: str) -> tuple[str, ...]:
    return tuple(value.replace(",", " ").split())


def _switch(key: str, value: str) -> bool:
    if value.lower() not in (*_YES, *_NO):
        raise BadInput(f"swarmstrap.{key}={value} is not yes or no", hint=f"write swarmstrap.{key}")
    return value.lower() in _YES


def _stop(value: str) -> str:
    if value and value not in STOPS:
        raise BadInput(f"swarmstrap.break={value} is no place", hint=f"one of {', '.join(STOPS)}")
    return value
