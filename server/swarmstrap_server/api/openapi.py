# SPDX-License-Identifier: GPL-2.0-or-later
"""The OpenAPI 3.1 document of a table of routes. The schemas are those of the types themselves."""

import re
from collections.abc import Iterator, Sequence
from types import UnionType
from typing import get_args

import msgspec

import swarmstrap
from swarmstrap_server.api.problems import MEDIA
from swarmstrap_server.api.route import JSON, Route
from swarmstrap_server.control.operator_wire import BASE, ROLES, ProblemDetails

Object = dict[str, object]

IF_NONE_MATCH = "If-None-Match"

_REFERENCE = "#/components/schemas/{name}"
_PART = re.compile(r"\{(\w+)\}")
_SECURITY: list[Object] = [{"token": []}, {"login": []}]
_PROBLEMS = {
    "400": "The request cannot be used as it stands.",
    "401": "Nobody known asks.",
    "403": "The role does not allow it.",
    "404": "There is no such thing.",
    "409": "Refused in the present state.",
    "422": "The request contradicts an earlier one.",
    "429": "Too many wrong tokens came from this address; Retry-After has the seconds to wait.",
}


def document(routes: Sequence[Route]) -> Object:
    """Of plain JSON values; what a role may is in each operation's `x-role`."""
    types = [ProblemDetails, *_types(routes)]
    schemas, components = msgspec.json.schema_components(types, ref_template=_REFERENCE)
    schema_of = {repr(kind): schema for kind, schema in zip(types, schemas, strict=True)}
    for route in routes:
        if isinstance(route.answer, UnionType):
            either = [schema_of[repr(kind)] for kind in get_args(route.answer)]
            schema_of[repr(route.answer)] = {"anyOf": either}
    paths: dict[str, Object] = {}
    for route in routes:
        operations = paths.setdefault(BASE + route.path, {})
        operations[route.method.lower()] = _operation(route, schema_of)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Swarmstrap",
            "version": swarmstrap.__version__,
            "description": "Nodes, images and deployments of one site.",
            "license": {"name": "GPL-2.0-or-later", "identifier": "GPL-2.0-or-later"},
        },
        "tags": [{"name": tag} for tag in dict.fromkeys(_tag(route) for route in routes)],
        "paths": paths,
        "components": {
            "schemas": components,
            "responses": {
                f"Problem{status}": {
                    "description": description,
                    "content": {MEDIA: {"schema": schema_of[repr(ProblemDetails)]}},
                }
                for status, description in _PROBLEMS.items()
            },
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "login": {"type": "apiKey", "in": "cookie", "name": "__Host-swarmstrap"},
            },
        },
    }


def _types(routes: Sequence[Route]) -> list[object]:
    wanted = (kind for route in routes for kind in (*_parts(route.answer), route.body))
    return list({repr(kind): kind for kind in wanted if kind is not None}.values())


def _parts(answer: object) -> tuple[object, ...]:
    """What a stream mixes has types that only its events tell apart, which msgspec refuses."""
    return get_args(answer) if isinstance(answer, UnionType) else (answer,)


def _tag(route: Route) -> str:
    return route.handler.__module__.rpartition(".")[2]


def _operation(route: Route, schema_of: dict[str, Object]) -> Object:
    operation: Object = {
        "operationId": operation_id(route),
        "tags": [_tag(route)],
        "summary": route.summary,
        "x-role": route.role,
        "description": f"For {' and '.join(ROLES[ROLES.index(route.role) :])}.",
        "security": _SECURITY,
        "parameters": list(_parameters(route)),
        "responses": dict(_responses(route, schema_of)),
    }
    if route.body is not None:
        schema = schema_of[repr(route.body)]
        operation["requestBody"] = {"required": True, "content": {JSON: {"schema": schema}}}
    return operation


def operation_id(route: Route) -> str:
    return route.handler.__name__.strip("_")


def _parameters(route: Route) -> Iterator[Object]:
    for name in _PART.findall(route.path):
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
    if route.query is not None:
        _, components = msgspec.json.schema_components([route.query], ref_template=_REFERENCE)
        told = components[route.query.__name__]
        for name, schema in told["properties"].items():
            required = name in told.get("required", ())
            yield {"name": name, "in": "query", "required": required, "schema": schema}
    if route.once:
        yield _header("Idempotency-Key", "Repeats of a request with the same key do nothing more.")
    if route.method == "GET" and route.media == JSON:
        yield _header(IF_NONE_MATCH, "An ETag; 304 without a body while it still holds.")


def _header(name: str, description: str) -> Object:
    return {
        "name": name,
        "in": "header",
        "required": False,
        "description": description,
        "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    }


def _responses(route: Route, schema_of: dict[str, Object]) -> Iterator[tuple[str, Object]]:
    if route.answer is None:
        yield "204", {"description": "Done."}
    else:
        content = {route.media: {"schema": schema_of[repr(route.answer)]}}
        yield str(route.status), {"description": route.summary, "content": content}
    if route.method == "GET" and route.media == JSON:
        yield "304", {"description": "As the ETag says."}
    for status in _PROBLEMS:
        if status != "404" or _PART.search(route.path):
            if status != "422" or route.once:
                yield status, {"$ref": f"#/components/responses/Problem{status}"}
