# SPDX-License-Identifier: GPL-2.0-or-later
"""The API as another machine sees it. Every answer is checked against the document's schema."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from jsonschema import Draft202012Validator
from tests.http.conftest import Live

from swarmstrap_server import cli
from swarmstrap_server.api.openapi import document
from swarmstrap_server.api.table import ROUTES
from swarmstrap_server.control.operator_wire import BASE, ROLES, Role

DOCUMENT = msgspec.json.decode(msgspec.json.encode(document(ROUTES)))


@dataclass(frozen=True)
class Answer:
    """`value` is the decoded JSON, None for an empty body."""

    status: int
    headers: Mapping[str, str]
    value: "Json"


# The status of a command, and what it wrote to stdout and stderr.
Said = tuple[int, str, str]
Json = dict[str, "Json"] | list["Json"] | str | int | float | None


@dataclass(frozen=True)
class Api:
    """The TCP listener; `tokens` has one of each role."""

    live: Live
    url: str
    tokens: dict[Role, str]

    async def ask(
        self,
        method: str,
        path: str,
        role: Role | None = "admin",
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """`path` is below BASE; `body` is sent as JSON, bytes as they are."""
        own = {"Authorization": f"Bearer {self.tokens[role]}"} if role else {}
        data = body if isinstance(body, bytes) else body and msgspec.json.encode(body)
        url = self.url + BASE + path
        async with self.live.http.request(
            method, url, data=data, headers={**own, **(headers or {})}
        ) as response:
            content = await response.read()
            value = msgspec.json.decode(content) if content else None
            _check(method, path, response.status, response.content_type, value)
            return Answer(response.status, response.headers, value)

    async def command(self, role: Role, *arguments: str, ca: Path | None = None) -> int:
        """`swarmstrap` of somebody with such a token, on a machine without a site folder."""
        token = self.live.paths.root / "token"
        token.touch(mode=0o600)
        token.write_text(f"{self.tokens[role]}\n")
        given = ["--server", self.url, "--token-file", str(token), "--site", "/nonexistent"]
        given += ["--ca", str(ca or self.live.paths.ca_certificate)]
        return await asyncio.to_thread(cli.main, [*given, *arguments])

    async def both(self, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[Said, Said]:
        """What `swarmstrap` says beside the site folder, and to a viewer elsewhere."""
        capsys.readouterr()
        status = await self.live.command(*arguments)
        here = (status, *capsys.readouterr())
        status = await self.command("viewer", *arguments)
        return here, (status, *capsys.readouterr())


def make_api(live: Live) -> Api:
    tokens = {role: live.services.access.add(f"the-{role}", role) for role in ROLES}
    return Api(live, live.services.deployments.site.operator_url, tokens)


def _check(method: str, path: str, status: int, media: str, value: Json) -> None:
    told = DOCUMENT["paths"][_template(path)][method.lower()]["responses"][str(status)]
    if "$ref" in told:
        told = DOCUMENT["components"]["responses"][told["$ref"].rpartition("/")[2]]
    if "content" not in told:
        assert value is None
        return
    schema = {**told["content"][media]["schema"], "components": DOCUMENT["components"]}
    Draft202012Validator(schema).validate(value)


def _template(path: str) -> str:
    """As the document has it: `/nodes/{node}` for `/nodes/n1?limit=1`."""
    bare = BASE + path.partition("?")[0]
    found: list[str] = [
        template
        for template in DOCUMENT["paths"]
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), bare)
    ]
    assert found, f"the document has no {path}"
    return min(found, key=lambda template: template.count("{"))  # as OpenAPI says: concrete first
