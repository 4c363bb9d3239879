# SPDX-License-Identifier: GPL-2.0-or-later
"""Choosing disks: hints with Ironic's keys and operators, of which exactly one disk must fit all.

A plain value means equal. Numbers (`size`, with a unit) know `= == != >= <= > <` (`=` is Ironic's
"at least") and `<range-in> [ 100GiB 1TiB ]`, where a round bracket leaves its end out; text knows
`s== s!= s>= s<= s> s<`, `<in> part` and `<all-in> part <all-in> part`, upper and lower case alike;
both know `<or> a <or> b`.
"""

import difflib
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from swarmstrap.errors import BadInput, Unplannable
from swarmstrap.hardware import Disk
from swarmstrap.layout import DiskLayout, Prefer
from swarmstrap.units import human, parse_size

TEXT_KEYS = ("model", "vendor", "serial", "wwn", "hctl", "by_path", "tran", "name")
KEYS = ("size", "rotational", *TEXT_KEYS)
# A stick that somebody left in the machine is only chosen by a hint that singles it out.
_NAMES_A_STICK = frozenset({"serial", "wwn", "by_path", "tran", "name"})
_NOT_FIXED = re.compile(r"/dev/(loop|ram|zram|sr|fd|nbd)\d")
_ENUMERATED = re.compile(r"\b(sd|hd|vd|xvd)[a-z]+\b")
_OPERATOR = re.compile(r"(<\S+?>|s?[=!<>]=|s[<>]|[=<>])?\s*(.*)", re.DOTALL)
_CONSOLE = 80

_NUMBER_OPERATORS: Mapping[str, Callable[[int, int], bool]] = {
    "": operator.eq,
    "=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_TEXT_OPERATORS: Mapping[str, Callable[[str, str], bool]] = {
    "": operator.eq,
    "s==": operator.eq,
    "s!=": operator.ne,
    "s>=": operator.ge,
    "s<=": operator.le,
    "s>": operator.gt,
    "s<": operator.lt,
    "<in>": operator.contains,
}


@dataclass(frozen=True, slots=True)
class Hint:
    """One key of `match`, parsed; `objection` says why a disk does not fit, or nothing."""

    key: str
    text: str
    fits: Callable[[Disk], bool]

    def objection(self, disk: Disk) -> str | None:
        if self.fits(disk):
            return None
        value = getattr(disk, self.key)
        shown = human(value) if self.key == "size" else str(value) or "unknown"
        return f"{self.key} {shown} is not {self.text}"


def parse_match(match: Mapping[str, str | int | bool]) -> tuple[Hint, ...]:
    """The hints of a layout's `match`; raises BadInput for a key or value that has no meaning."""
    return tuple(_hint(key, value) for key, value in match.items())


def choose(layouts: Sequence[DiskLayout], disks: Sequence[Disk]) -> tuple[Disk, ...]:
    """For each layout its disk, none of them twice.

    Raises Unplannable, with a table of every disk and the hint that rejected it, unless exactly
    one disk is left or `prefer` picks one without a tie.
    """
    chosen: list[Disk] = []
    for layout in layouts:
        hints = parse_match(layout.match)
        taken = {disk.name for disk in chosen}
        objections = {disk.name: _objection(disk, hints, taken) for disk in disks}
        matching = [disk for disk in disks if objections[disk.name] is None]
        if layout.prefer is not None:
            matching = _preferred(matching, layout.prefer)
        if len(matching) != 1:
            raise _ambiguous(layout, disks, objections, len(matching))
        chosen.append(matching[0])
    return tuple(chosen)


def _objection(disk: Disk, hints: Sequence[Hint], taken: set[str]) -> str | None:
    if unfit := _unfit(disk, {hint.key for hint in hints}):
        return unfit
    if disk.name in taken:
        return "another disk of the layout took it"
    return next((text for hint in hints if (text := hint.objection(disk))), None)


def _unfit(disk: Disk, keys: set[str]) -> str | None:
    """Why nobody should install on `disk`, whatever the hints say of it."""
    if _NOT_FIXED.match(disk.name):
        return "not a fixed disk"
    if disk.size == 0:
        return "no medium in it"
    if disk.read_only:
        return "read-only"
    if disk.holders:
        return f"in use by {', '.join(disk.holders)}"
    if (disk.removable or disk.tran == "usb") and not keys & _NAMES_A_STICK:
        return "removable, and no hint names its bus or serial"
    return None


def _preferred(disks: Sequence[Disk], prefer: Prefer) -> list[Disk]:
    """All disks of the least or greatest size: more than one is a tie, and no choice."""
    sizes = [disk.size for disk in disks]
    wanted = (min if prefer == "smallest" else max)(sizes, default=0)
    return [disk for disk in disks if disk.size == wanted]


def _ambiguous(
    layout: DiskLayout,
    disks: Sequence[Disk],
    objections: Mapping[str, str | None],
    matches: int,
) -> Unplannable:
    if not disks:
        return Unplannable(
            f"no disk for {layout.id}: this node has none that its kernel can see",
            hint="look for devices without a driver in the inventory",
        )
    if not matches:
        summary = f"no disk matches {layout.id}, of {len(disks)} seen"
        hint = "loosen `match` in the layout, or deploy to another node"
    elif layout.prefer:
        summary = f"{matches} disks tie for {layout.id}: none is the {layout.prefer}"
        hint = "narrow `match` in the layout, by serial or by_path"
    else:
        summary = f"{matches} disks match {layout.id}, where exactly one must"
        hint = "narrow `match` in the layout, or say `prefer: smallest` or `prefer: largest`"
    rows = [_row(disk, objections[disk.name]) for disk in disks]
    return Unplannable("\n".join([summary, *rows]), hint=hint)


def _row(disk: Disk, objection: str | None) -> str:
    verdict = objection or f"matches ({disk.model or 'no model'}, {disk.serial or 'no serial'})"
    return f"  {disk.name:<13} {human(disk.size):>10}  {verdict}"[: _CONSOLE - 1]


def _hint(key: str, value: str | int | bool) -> Hint:
    if key not in KEYS:
        near = difflib.get_close_matches(key, KEYS, n=1)
        raise BadInput(
            f"unknown key in match: {key}",
            hint=f"did you mean {near[0]}?" if near else f"known are {', '.join(KEYS)}",
        )
    if key == "rotational":
        if not isinstance(value, bool):
            raise BadInput(f"match.rotational is {value!r}", hint="write true or false")
        return Hint(key, str(value), lambda disk: disk.rotational is value)
    if isinstance(value, bool) or (key == "size" and isinstance(value, int)):
        raise BadInput(
            f"match.{key} is {value!r}",
            hint="write a number with a unit, as in 100GiB" if key == "size" else "write text",
        )
    text = str(value).strip()
    if key == "name" and _ENUMERATED.search(text):
        raise BadInput(
            f"match.name is {text!r}, which may be another disk after the next boot",
            hint="match by serial, wwn, by_path or size",
        )
    if key == "size":
        number = _number_test(text)
        return Hint(key, text, lambda disk: number(disk.size))
    test = _text_test(key, text)
    return Hint(key, text, lambda disk: test(getattr(disk, key).casefold()))


def _number_test(text: str) -> Callable[[int], bool]:
    symbol, rest = _split(text)
    if symbol == "<or>":
        wanted = {parse_size(part) for part in rest.split("<or>")}
        return lambda value: value in wanted
    if symbol == "<range-in>":
        return _range_test(rest)
    if symbol not in _NUMBER_OPERATORS:
        raise _unknown_operator("size", symbol, (*_NUMBER_OPERATORS, "<or>", "<range-in>"))
    bound = parse_size(rest)
    return lambda value: _NUMBER_OPERATORS[symbol](value, bound)


def _range_test(text: str) -> Callable[[int], bool]:
    match = re.fullmatch(r"([\[(])\s*(\S+)\s+(\S+)\s*([\])])", text)
    if match is None:
        raise BadInput(
            f"match.size: not a range: {text!r}", hint="write it as <range-in> [ 100GiB 1TiB ]"
        )
    low, high = parse_size(match[2]), parse_size(match[3])
    above = operator.ge if match[1] == "[" else operator.gt
    below = operator.le if match[4] == "]" else operator.lt
    return lambda value: above(value, low) and below(value, high)


def _text_test(key: str, text: str) -> Callable[[str], bool]:
    symbol, rest = _split(text.casefold())
    if symbol == "<or>":
        wanted = {part.strip() for part in rest.split("<or>")}
        return lambda value: value in wanted
    if symbol == "<all-in>":
        parts = [part.strip() for part in rest.split("<all-in>")]
        return lambda value: all(part in value for part in parts)
    if symbol not in _TEXT_OPERATORS:
        raise _unknown_operator(key, symbol, (*_TEXT_OPERATORS, "<or>", "<all-in>"))
    return lambda value: _TEXT_OPERATORS[symbol](value, rest)


def _split(text: str) -> tuple[str, str]:
    match = _OPERATOR.match(text)
    assert match is not None, "every part of the expression is optional"
    return match[1] or "", match[2].strip()


def _unknown_operator(key: str, symbol: str, known: Sequence[str]) -> BadInput:
    return BadInput(
        f"match.{key}: {symbol} does not compare a {key}", hint=f"use {' '.join(known).strip()}"
    )
