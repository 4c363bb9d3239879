# SPDX-License-Identifier: GPL-2.0-or-later
"""discovery.yaml: what to call machines that no file knows, by what they are and where they stand.

Facts of the inventory are matched with the operators of a layout's `match`. The first rule that
fits counts.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from swarmstrap.errors import BadInput, Refused
from swarmstrap.hardware import Inventory
from swarmstrap.hints import any_text_test, number_test
from swarmstrap.units import parse_size
from swarmstrap_server.site.checks import NODE_NAME, one_of
from swarmstrap_server.site.words import ALL
from swarmstrap_server.site.yamlfile import nearest

_PLACEHOLDER = re.compile(r"\{([a-z_]+)(?::0([1-9]))?\}")
_NUMBER = re.compile(r"[0-9]+")
_MOST_TRIES = 100_000
SIZES = ("memory", "disk_size")
COUNTS = ("cpus", "disks", "nic_mbps")
# Facts that may be part of a name.
NAMING = ("vendor", "product", "serial", "uuid", "mac", "lldp_switch", "lldp_port")
TEXTS = (*NAMING, "architecture", "cpu", "firmware", "nic_driver", "disk_model")
# `n` counts; the other is the last number in `lldp_port`.
NUMBERS = ("n", "lldp_number")


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`name` is a pattern; a rule without one leaves the machine the name that its MAC gives it."""

    match: dict[str, str | int]
    name: str = ""
    groups: tuple[str, ...] = ()


class DiscoveryFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """What a rule may ask for. Of `texts` several may be there: those of the NIC that the machine
    booted from come first. `numbers` are bytes, megabits a second or a count.
    """

    texts: Mapping[str, tuple[str, ...]]
    numbers: Mapping[str, int]


def facts_of(inventory: Inventory) -> Facts:
    vendor, booted = inventory.system_vendor, inventory.boot.pxe_interface
    nics = sorted(inventory.interfaces, key=lambda nic: nic.mac_address != booted)
    ports = [nic.lldp for nic in nics if nic.lldp]
    texts = {
        "vendor": (vendor.manufacturer,),
        "product": (vendor.product_name,),
        "serial": (vendor.serial_number,),
        "uuid": (vendor.uuid,),
        "mac": tuple(nic.mac_address for nic in nics),
        "lldp_switch": tuple(port.system_name or port.chassis_id for port in ports),
        "lldp_port": tuple(port.port_id for port in ports),
        "architecture": (inventory.cpu.architecture,),
        "cpu": (inventory.cpu.model_name,),
        "firmware": (inventory.boot.current_boot_mode,),
        "nic_driver": tuple(nic.driver for nic in nics),
        "disk_model": tuple(disk.model for disk in inventory.disks),
    }
    numbers = {
        "memory": inventory.memory.total,
        "disk_size": max((disk.size for disk in inventory.disks), default=0),
        "cpus": inventory.cpu.count,
        "disks": len(inventory.disks),
        "nic_mbps": max((nic.speed_mbps for nic in nics), default=0),
    }
    return Facts({key: tuple(filter(None, found)) for key, found in texts.items()}, numbers)


def first_that_fits(rules: Sequence[Rule], facts: Facts) -> tuple[int, Rule] | None:
    """The rule and its number, from 1."""
    for number, rule in enumerate(rules, 1):
        if all(_fits(key, str(value), facts) for key, value in rule.match.items()):
            return number, rule
    return None


def _fits(key: str, text: str, facts: Facts) -> bool:
    if key in TEXTS:
        return any_text_test(key, text)(facts.texts[key])
    return number_test(key, text, parse_size if key in SIZES else _whole)(facts.numbers[key])


def name_by(pattern: str, facts: Facts, taken: Collection[str]) -> str:
    """What a machine with these facts is called; `{n}` is the lowest number that is free.

    Raises Refused when the machine does not say what the pattern needs, or the name is `taken`.
    """
    for count in range(1, _MOST_TRIES):
        name = _filled(pattern, facts, count)
        if not NODE_NAME.fullmatch(name) or name == ALL:
            raise Refused(f"{name!r} from {pattern!r} is not a node's name")
        if name not in taken:
            return name
        if "{n" not in pattern:
            raise Refused(f"{name} is the name of another node or group")
    raise Refused(f"no name is free for {pattern!r}")


def _filled(pattern: str, facts: Facts, count: int) -> str:
    return _PLACEHOLDER.sub(lambda found: _part(found, facts, count), pattern)


def _part(found: re.Match[str], facts: Facts, count: int) -> str:
    key, digits = found[1], int(found[2] or 0)
    if key == "n":
        return f"{count:0{digits}}"
    fact = "lldp_port" if key == "lldp_number" else key
    text = next(iter(facts.texts[fact]), "")
    if key == "lldp_number":
        numbers = _NUMBER.findall(text)
        text = f"{int(numbers[-1]):0{digits}}" if numbers else ""
    if not text:
        raise Refused(f"the machine says nothing of its {fact}, which its name needs")
    return _as_name(text.replace(":", "") if key == "mac" else text)


def _as_name(text: str) -> str:
    """Hardware says what it likes; of it letters and digits remain, and '-' for all between."""
    return re.sub("[^a-z0-9]+", "-", text.lower()).strip("-")


def rule_findings(rule: Rule, groups: Collection[str]) -> Iterator[tuple[str, str]]:
    """The key of the rule, and what is wrong with it."""
    if not rule.match:
        yield "match", "an empty match would fit every machine: write {mac: <in> :} if it is to"
    for key, value in rule.match.items():
        if complaint := _match_complaint(key, str(value)):
            yield "match", complaint
    if not rule.name and not rule.groups:
        yield "match", "a rule needs a name, or groups"
    for group in rule.groups:
        if complaint := one_of(group, list(groups), "group"):
            yield "groups", complaint
    if complaint := _pattern_complaint(rule.name):
        yield "name", complaint


def _match_complaint(key: str, value: str) -> str:
    known = (*TEXTS, *SIZES, *COUNTS)
    if key not in known:
        return f"unknown key {key!r} in match{nearest(key, list(known))}"
    nothing = Facts(dict.fromkeys(TEXTS, ()), dict.fromkeys((*SIZES, *COUNTS), 0))
    try:
        _fits(key, value, nothing)
    except BadInput as error:
        return str(error)
    return ""


def _pattern_complaint(pattern: str) -> str:
    known = (*NAMING, *NUMBERS)
    for key, digits in _PLACEHOLDER.findall(pattern):
        if key not in known:
            return f"unknown {{{key}}} in a name{nearest(key, list(known))}"
        if digits and key not in NUMBERS:
            return f"{{{key}}} has no number of digits"
    if pattern and not NODE_NAME.fullmatch(_PLACEHOLDER.sub("a", pattern)):
        return f"{pattern!r} does not make a node's name"
    return ""


def _whole(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise BadInput(f"not a whole number: {text!r}", hint="write digits alone")
    return int(text)
