# SPDX-License-Identifier: GPL-2.0-or-later
"""What a disk must be, in the keys and operators of Ironic's root device hints.

A plain value means equal. Numbers (`size`, with a unit) know `= == != >= <= > <` (`=` is Ironic's
"at least") and `<range-in> [ 100GiB 1TiB ]`, where a round bracket leaves its end out; text knows
`s== s!= s>= s<= s> s<`, `<in> part` and `<all-in> part <all-in> part`, upper and lower case alike;
both know `<or> a <or> b`. As with Ironic, what a disk does not say of itself fits nothing.
"""

import difflib
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from swarmstrap.errors import BadInput
from swarmstrap.hardware import Disk
from swarmstrap.units import human, parse_size

Match = Mapping[str, str | int | bool]

TEXT_KEYS = ("model", "vendor", "serial", "wwn", "hctl", "by_path", "tran", "name")
KEYS = ("size", "rotational", *TEXT_KEYS)
_COUNTED_UP = re.compile(r"\b((sd|hd|vd|xvd)[a-z]+|nvme\d+n\d+|mmcblk\d+)\b")
_OPERATOR = re.compile(r"(<\S+?>|s?[=!<>]=|s[<>]|[=<>])?\s*(.*)", re.DOTALL)

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

    def __str__(self) -> str:
        return f"{self.key} {self.text}"

    def objection(self, disk: Disk) -> str | None:
        if self.fits(disk):
            return None
        value = getattr(disk, self.key)
        if self.key == "rotational":
            return f"rotational is not {self.text}"
        shown = human(value) if self.key == "size" else value or "unknown"
        return f"{self.key} {shown} is not {self.text}"


def parse_match(match: Match) -> tuple[Hint, ...]:
    """The hints of a `match`; raises BadInput for a key or value that has no meaning."""
    return tuple(_hint(key, value) for key, value in match.items())


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
        return Hint(key, str(value).lower(), lambda disk: disk.rotational is value)
    if isinstance(value, bool) or (key == "size" and isinstance(value, int)):
        raise BadInput(
            f"match.{key} is {value!r}",
            hint="write a number with a unit, as in 100GiB" if key == "size" else "write text",
        )
    text = str(value).strip()
    if key == "size":
        number = number_test(key, text, _bytes)
        return Hint(key, text, lambda disk: number(disk.size))
    if key == "name":
        return Hint(key, text, _name_test(text))
    test = text_test(key, text)
    return Hint(key, text, lambda disk: test(getattr(disk, key)))


def _name_test(text: str) -> Callable[[Disk], bool]:
    """A disk has several names: one must fit, and to be unlike a name, none may be it."""
    if _COUNTED_UP.search(text):
        raise BadInput(
            f"match.name is {text!r}, which may be another disk after the next boot",
            hint="match by serial, wwn, by_path or size, or name a link below /dev/disk",
        )
    test = any_text_test("name", text)
    return lambda disk: test((disk.name, *disk.links))


def any_text_test(key: str, text: str) -> Callable[[Iterable[str]], bool]:
    """For what has several values: one must fit, and to be unlike `text`, none may be it."""
    test = text_test(key, text)
    quantifier = all if _split(text)[0] == "s!=" else any
    return lambda values: quantifier(map(test, values))


def number_test(key: str, text: str, read: Callable[[str], int]) -> Callable[[int], bool]:
    """Whether a number is as `text`, whose numbers `read` understands, says; raises BadInput."""
    symbol, rest = _split(text)
    if symbol == "<or>":
        wanted = {read(part) for part in _parts(key, symbol, rest)}
        return lambda value: value in wanted
    if symbol == "<range-in>":
        return _range_test(key, rest, read)
    if symbol not in _NUMBER_OPERATORS:
        raise _unknown_operator(key, symbol, (*_NUMBER_OPERATORS, "<or>", "<range-in>"))
    bound = read(rest)
    return lambda value: _NUMBER_OPERATORS[symbol](value, bound)


def _range_test(key: str, text: str, read: Callable[[str], int]) -> Callable[[int], bool]:
    match = re.fullmatch(r"([\[(])\s*(\S+)\s+(\S+)\s*([\])])", text)
    if match is None:
        raise BadInput(
            f"match.{key}: not a range: {text!r}", hint="write it as <range-in> [ 100GiB 1TiB ]"
        )
    low, high = read(match[2]), read(match[3])
    if low > high:
        raise BadInput(f"match.{key}: nothing is in the range {text!r}", hint="swap its ends")
    above = operator.ge if match[1] == "[" else operator.gt
    below = operator.le if match[4] == "]" else operator.lt
    return lambda value: above(value, low) and below(value, high)


def text_test(key: str, text: str) -> Callable[[str], bool]:
    """Whether a text is as `text` says; raises BadInput."""
    symbol, rest = _split(text.casefold())
    if symbol not in (*_TEXT_OPERATORS, "<or>", "<all-in>"):
        raise _unknown_operator(key, symbol, (*_TEXT_OPERATORS, "<or>", "<all-in>"))
    parts = _parts(key, symbol, rest)

    def test(value: str) -> bool:
        known = value.casefold()
        if not known:
            return False
        if symbol == "<or>":
            return known in parts
        if symbol == "<all-in>":
            return all(part in known for part in parts)
        return _TEXT_OPERATORS[symbol](known, rest)

    return test


def _split(text: str) -> tuple[str, str]:
    match = _OPERATOR.match(text)
    assert match is not None, "every part of the expression is optional"
    return match[1] or "", match[2].strip()


def _parts(key: str, symbol: str, text: str) -> list[str]:
    """What stands between repetitions of `symbol`; an empty part would fit every disk."""
    parts = [part.strip() for part in text.split(symbol)] if symbol else [text]
    if "" in parts:
        raise BadInput(
            f"match.{key}: nothing to compare with", hint=f"write a value after {symbol or 'it'}"
        )
    return parts


def _bytes(text: str) -> int:
    if not text.strip()[-1:].isalpha():
        raise BadInput(
            f"match.size: no unit in {text!r}", hint="write 100GiB where Ironic's hint says 100"
        )
    return parse_size(text)


def _unknown_operator(key: str, symbol: str, known: Sequence[str]) -> BadInput:
    return BadInput(
        f"match.{key}: {symbol} does not compare a {key}", hint=f"use {' '.join(known).strip()}"
    )
