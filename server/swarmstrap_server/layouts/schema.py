# SPDX-License-Identifier: GPL-2.0-or-later
"""JSON Schema of a layout: what editors complete and check by."""

from collections.abc import Mapping

import msgspec

from swarmstrap.hints import KEYS
from swarmstrap.layout import Layout
from swarmstrap_server.layouts.words import MATCH, NAMES, Struct, fields

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
# A name, and no address: the file is the one that the editor is told of.
_ID = "urn:swarmstrap:layout"


def layout_schema() -> bytes:
    """JSON, indented, with a line end."""
    (top,), definitions = msgspec.json.schema_components((Layout,), ref_template="#/$defs/{name}")
    for kind in NAMES:
        _describe(definitions[kind.__name__], kind)
    _list_hints(definitions["DiskLayout"]["properties"]["match"])
    whole = {
        "$schema": _DIALECT,
        "$id": _ID,
        "title": "Swarmstrap layout",
        **top,
        "$defs": definitions,
    }
    return msgspec.json.format(msgspec.json.encode(whole), indent=2) + b"\n"


def _describe(definition: dict[str, object], kind: Struct) -> None:
    definition["title"] = NAMES[kind]
    definition["description"] = " ".join((kind.__doc__ or "").split())
    properties = definition["properties"]
    assert isinstance(properties, dict), "a struct is an object"
    for field in fields(kind):
        properties[field.key]["description"] = _plain(field.word.meaning)


def _list_hints(match: dict[str, object]) -> None:
    """The type says any word; hints.py knows which."""
    value = match.pop("additionalProperties")
    assert isinstance(value, Mapping), "msgspec says of what kind the values are"
    match["properties"] = {key: {**value, "description": _plain(MATCH[key])} for key in KEYS}
    match["additionalProperties"] = False


def _plain(text: str) -> str:
    return text.replace("`", "")
