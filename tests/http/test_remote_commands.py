# SPDX-License-Identifier: GPL-2.0-or-later
"""The `swarmstrap` command from another machine: by URL, token and CA, without the site folder."""

import asyncio
import json
from pathlib import Path

import pytest
from tests.http.api import Api, make_api
from tests.http.conftest import Live

from swarmstrap_server import cli
from swarmstrap_server.commands.exits import Exit
from swarmstrap_server.site.pki import make_ca

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def api(live: Live) -> Api:
    return make_api(live)


async def test_deploy_and_look_from_elsewhere(api: Api, capsys: Capture) -> None:
    assert await api.command("operator", "deploy", "tiny", "--to", "n1", "--for", "5m") == 0
    assert "n1 is armed for tiny:1 until" in capsys.readouterr().out
    assert await api.command("viewer", "node", "ls", "--json") == 0
    nodes = json.loads(capsys.readouterr().out)
    assert [(node["name"], node["state"]) for node in nodes][:2] == [
        ("n1", "armed"),
        ("n2", "ready"),
    ]
    assert await api.command("viewer", "node", "show", "n1") == 0
    assert "armed for tiny:1" in capsys.readouterr().out
    assert await api.command("operator", "disarm", "n1") == 0
    assert await api.command("viewer", "status") == 0
    assert "site test" in capsys.readouterr().out


async def test_tokens_are_made_listed_and_revoked(api: Api, capsys: Capture) -> None:
    adding = ("token", "add", "ci", "--role", "operator", "--days", "7")
    assert await api.command("admin", *adding) == 0
    secret = capsys.readouterr().out.strip()
    assert api.live.services.access.by_token(secret).role == "operator"
    assert await api.command("admin", "token", "ls") == 0
    rows = [line.split()[:2] for line in capsys.readouterr().out.splitlines()]
    assert ["ci", "operator"] in rows
    assert await api.command("admin", "token", "revoke", "ci") == 0
    assert await api.command("admin", "token", "revoke", "ci") == 1
    assert "there is no token ci" in capsys.readouterr().err


async def test_too_low_a_role_is_said_in_one_line(api: Api, capsys: Capture) -> None:
    assert await api.command("viewer", "deploy", "tiny", "--to", "n1") == Exit.REFUSED
    said = capsys.readouterr().err
    assert "the-viewer is viewer" in said
    assert said.count("\n") == 1


async def test_a_revoked_token(api: Api, capsys: Capture) -> None:
    api.live.services.access.revoke("the-viewer")
    assert await api.command("viewer", "node", "ls") == Exit.UNTRUSTED
    assert "not one of this server" in capsys.readouterr().err


async def test_a_server_with_the_certificate_of_another_site(
    api: Api, tmp_path: Path, capsys: Capture
) -> None:
    other = tmp_path / "ca.crt"
    other.write_bytes(make_ca("other").certificate)
    assert await api.command("viewer", "node", "ls", ca=other) == Exit.UNTRUSTED
    assert "is not the server that it should be" in capsys.readouterr().err


@pytest.mark.parametrize(
    "line",
    ["image tag tiny stable", "image prune", "image export tiny x", "capture / x", "key ls"],
)
async def test_what_works_on_the_image_host_alone_says_so(
    api: Api, line: str, capsys: Capture
) -> None:
    assert await api.command("admin", *line.split()) == 1
    [said] = capsys.readouterr().err.splitlines()
    assert "works on the image host alone (run it there, without --server" in said


async def test_the_server_of_a_further_seeder_is_another_word(
    tmp_path: Path, capsys: Capture
) -> None:
    given = ["seed", str(tmp_path), "--server", "https://x", "--signers", str(tmp_path / "none")]
    assert await asyncio.to_thread(cli.main, given) == 1
    assert "not a server's URL: 'https://x'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("server", "told"),
    [
        ("https://127.0.0.1:1", "no server answers at https://127.0.0.1:1"),
        ("http://127.0.0.1:1", "is not a server (as in https://"),
        ("https://127.0.0.1:x", "is not a URL"),
        ("127.0.0.1", "is not a server"),
    ],
)
def test_a_server_that_is_none(tmp_path: Path, server: str, told: str, capsys: Capture) -> None:
    token = tmp_path / "token"
    token.touch(mode=0o600)
    token.write_text("a.b\n")
    assert cli.main(["--server", server, "--token-file", str(token), "node", "ls"]) != 0
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "told"),
    [(None, "cannot be read: No such file"), ("", "not a token"), ("a\nb", "not a token")],
)
def test_a_token_file_that_is_none(
    tmp_path: Path, text: str | None, told: str, capsys: Capture
) -> None:
    file = tmp_path / "token"
    if text is not None:
        file.touch(mode=0o600)
        file.write_text(text)
    given = ["--server", "https://127.0.0.1:1", "--token-file", str(file), "node", "ls"]
    assert cli.main(given) == 1
    assert told in capsys.readouterr().err
