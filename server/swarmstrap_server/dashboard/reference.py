# SPDX-License-Identifier: GPL-2.0-or-later
"""The OpenAPI document as a page: operations by resource, types by name, kinds of problems."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import NotRequired, TypedDict, cast

from swarmstrap_server.api.openapi import IF_NONE_MATCH, document
from swarmstrap_server.api.problems import KINDS, anchor
from swarmstrap_server.api.table import ROUTES
from swarmstrap_server.control.operator_wire import BASE

Schema = TypedDict(
    "Schema",
    {
        "$ref": NotRequired[str],
        "type": NotRequired[str],
        "title": NotRequired[str],
        "description": NotRequired[str],
        "anyOf": NotRequired[list["Schema"]],
        "enum": NotRequired[list[str | int | float | None]],
        "items": NotRequired["Schema"],
        "prefixItems": NotRequired[list["Schema"]],
        "additionalProperties": NotRequired["Schema | bool"],
        "properties": NotRequired[dict[str, "Schema"]],
        "required": NotRequired[list[str]],
    },
)


class Content(TypedDict):
    schema: Schema


class Parameter(TypedDict):
    name: str
    required: bool
    schema: Schema


class Body(TypedDict):
    content: NotRequired[dict[str, Content]]


Operation = TypedDict(
    "Operation",
    {
        "tags": list[str],
        "summary": str,
        "x-role": str,
        "parameters": list[Parameter],
        "requestBody": NotRequired[Body],
        "responses": dict[str, Body],
    },
)


class Components(TypedDict):
    schemas: dict[str, Schema]


class OpenApi(TypedDict):
    paths: dict[str, dict[str, Operation]]
    components: Components


@dataclass(frozen=True, slots=True)
class Word:
    """A piece of a type as it is read; `link` is the name of a type on this page, or empty."""

    text: str
    link: str = ""


@dataclass(frozen=True, slots=True)
class Field:
    name: str
    words: tuple[Word, ...]
    required: bool


@dataclass(frozen=True, slots=True)
class Request:
    """`path` is below BASE; `given` are query and headers, `body` and `answer` types."""

    method: str
    path: str
    role: str
    summary: str
    given: tuple[Field, ...]
    body: tuple[Word, ...]
    answer: tuple[Word, ...]


@dataclass(frozen=True, slots=True)
class Kind:
    name: str
    description: str
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class Trouble:
    """A kind of problem; `place` is its anchor, without the page."""

    place: str
    status: int
    title: str


@dataclass(frozen=True, slots=True)
class Reference:
    requests: Mapping[str, tuple[Request, ...]]
    kinds: tuple[Kind, ...]
    troubles: tuple[Trouble, ...]


@cache
def reference() -> Reference:
    """Of the table of routes."""
    told = cast("OpenApi", document(ROUTES))
    requests: dict[str, tuple[Request, ...]] = {}
    for path, operations in told["paths"].items():
        for method, operation in operations.items():
            (tag,) = operation["tags"]
            requests[tag] = (*requests.get(tag, ()), _request(method, path, operation))
    schemas = sorted(told["components"]["schemas"].items())
    return Reference(
        requests=requests,
        kinds=tuple(Kind(n, s.get("description", ""), tuple(_fields(s))) for n, s in schemas),
        troubles=tuple(
            Trouble(anchor(error).partition("#")[2], status, title)
            for error, status, title in KINDS
        ),
    )


def _request(method: str, path: str, operation: Operation) -> Request:
    given = [
        p
        for p in operation["parameters"]
        if f"{{{p['name']}}}" not in path and p["name"] != IF_NONE_MATCH
    ]
    answers = [body for status, body in operation["responses"].items() if status[0] == "2"]
    return Request(
        method=method.upper(),
        path=path.removeprefix(BASE),
        role=operation["x-role"],
        summary=operation["summary"],
        given=tuple(Field(p["name"], tuple(_words(p["schema"])), p["required"]) for p in given),
        body=tuple(_content(operation.get("requestBody"))),
        answer=tuple(word for body in answers for word in _content(body)),
    )


def _content(body: Body | None) -> Iterator[Word]:
    for content in body.get("content", {}).values() if body else ():
        yield from _words(content["schema"])


def _fields(schema: Schema) -> Iterator[Field]:
    for name, inner in schema.get("properties", {}).items():
        yield Field(name, tuple(_words(inner)), name in schema.get("required", ()))


def _words(schema: Schema) -> Iterator[Word]:
    """`list of Record`, `"armed" or "active"`, `number or null`."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        yield Word(name, name)
    elif "anyOf" in schema:
        for number, part in enumerate(schema["anyOf"]):
            if number:
                yield Word(" or ")
            yield from _words(part)
    elif "enum" in schema:
        yield Word(
            " or ".join("null" if value is None else repr(value) for value in schema["enum"])
        )
    elif schema.get("type") == "array":
        yield Word("list of ")
        yield from _words(schema.get("items") or {"anyOf": schema.get("prefixItems", [])})
    elif isinstance(inner := schema.get("additionalProperties"), dict):
        yield Word("map to ")
        yield from _words(inner)
    else:
        yield Word(schema.get("type", "anything"))
