# SPDX-License-Identifier: GPL-2.0-or-later
"""The tables of docs/layouts.md, made of the types and of what words.py says about them."""

import re

import msgspec

from swarmstrap_server.layouts.words import MATCH, NAMES, Field, Struct, fields

_TABLE = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end of table -->)", re.DOTALL)
_BY_NAME = {kind.__name__: kind for kind in NAMES}


def with_tables(page: str) -> str:
    """`page` with the table between each pair of markers as the types have it now; raises KeyError
    for a marker that names no type.
    """
    return _TABLE.sub(lambda found: f"{found[1]}\n{_table(found[2])}\n\n{found[3]}", page)


def tables(page: str) -> list[str]:
    """The names in the markers of `page`."""
    return [found[2] for found in _TABLE.finditer(page)]


def _table(name: str) -> str:
    if name == "match":
        rows = [f"| `{key}` | {meaning} |" for key, meaning in MATCH.items()]
        return "\n".join(["| key of `match` | what is compared |", "|---|---|", *rows])
    kind: Struct = _BY_NAME[name]
    heading = f"| key of {NAMES[kind]} | value | without it | meaning |"
    return "\n".join([heading, "|---|---|---|---|", *map(_row, fields(kind))])


def _row(field: Field) -> str:
    return f"| `{field.key}` | {_value(field)} | {_without(field)} | {field.word.meaning} |"


def _value(field: Field) -> str:
    if field.key.startswith("size"):
        return "size"
    return spoken(field.type)


def spoken(kind: msgspec.inspect.Type) -> str:
    """What may be written for a value of that type, in Markdown."""
    match kind:
        case msgspec.inspect.UnionType():
            parts = [t for t in kind.types if not isinstance(t, msgspec.inspect.NoneType)]
            return " or ".join(map(spoken, parts))
        case msgspec.inspect.LiteralType():
            return " ".join(f"`{value}`" for value in kind.values)
        case msgspec.inspect.BoolType():
            return "`true` `false`"
        case msgspec.inspect.IntType():
            return "number"
        case msgspec.inspect.DictType():
            return "keys and values"
        case msgspec.inspect.VarTupleType(item_type=msgspec.inspect.StructType()):
            return "list"
        case msgspec.inspect.VarTupleType(item_type=msgspec.inspect.IntType()):
            return "list of numbers"
        case msgspec.inspect.VarTupleType():
            return "list of texts"
        case _:
            return "text"


def _without(field: Field) -> str:
    if field.required:
        return "required"
    if field.word.without:
        return field.word.without
    match field.default:
        case bool():
            return f"`{str(field.default).lower()}`"
        case str() | int() if field.default != "":
            return f"`{field.default}`"
        case _:
            return "none"
