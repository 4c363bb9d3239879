# SPDX-License-Identifier: GPL-2.0-or-later
"""A layout as the YAML that a person would have written: a line for each thing on the disks."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeGuard

import msgspec

from swarmstrap.layout import Layout
from swarmstrap_server.layouts.words import fields

# Beside what YAML takes for text without quotes, here and between brackets.
_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9/@._+-]*(?:=[A-Za-z0-9/._+-]*)?|[0-9.]+[A-Za-z%]+")
_TAKEN = re.compile(r"true|false|null", re.IGNORECASE)


def layout_yaml(layout: Layout) -> str:
    """Without keys that have their default; reads back as the same layout."""
    lines: list[str] = []
    for key, value in _given(layout):
        if _has_structs(value):
            lines.append(f"{key}:")
            for item in value:
                lines += _block(item, "")
        else:
            lines.append(f"{key}: {_flow(value)}")
    return "\n".join([*lines, ""])


def _block(item: msgspec.Struct, indent: str) -> Iterator[str]:
    """An entry of a list, a line for each key; the structs in it have their own."""
    before = "- "
    for key, value in _given(item):
        if _has_structs(value):
            yield f"{indent}{before}{key}:"
            for inner in value:
                yield from _entry(inner, f"{indent}  ")
        else:
            yield f"{indent}{before}{key}: {_flow(value)}"
        before = "  "


def _entry(item: msgspec.Struct, indent: str) -> Iterator[str]:
    """In one line, unless there are structs in it."""
    if any(_has_structs(value) for _, value in _given(item)):
        yield from _block(item, indent)
    else:
        yield f"{indent}- {_flow(item)}"


def _has_structs(value: object) -> TypeGuard[tuple[msgspec.Struct, ...]]:
    return isinstance(value, tuple) and any(isinstance(v, msgspec.Struct) for v in value)


def _given(struct: msgspec.Struct) -> Iterator[tuple[str, object]]:
    """Keys that say something, each with its value; a list last, for it takes lines."""
    said = [
        (field.key, value)
        for field in fields(type(struct))
        if (value := getattr(struct, field.key)) != field.default
    ]
    return iter(sorted(said, key=lambda pair: isinstance(pair[1], tuple)))


def _flow(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case int():
            return str(value)
        case str():
            bare = _PLAIN.fullmatch(value) and not _TAKEN.fullmatch(value)
            return value if bare else _quoted(value)
        case tuple():
            return f"[{', '.join(map(_flow, value))}]"
        case Mapping():
            return _pairs(value.items())
        case msgspec.Struct():
            return _pairs(_given(value))
        case _:
            raise TypeError(f"{value!r} has no place in a layout")


def _quoted(text: str) -> str:
    """As JSON has it, but for what YAML alone takes for the end of a line."""
    escaped = json.dumps(text, ensure_ascii=False)
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in escaped)


def _pairs(pairs: Iterable[tuple[str, object]]) -> str:
    return f"{{{', '.join(f'{key}: {_flow(value)}' for key, value in pairs)}}}"
