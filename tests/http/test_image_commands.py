# SPDX-License-Identifier: GPL-2.0-or-later
"""The image commands of an operator whose server runs: what they print, refuse and leave."""

import asyncio
import json
from pathlib import Path

import pytest
from tests.http.conftest import Live, register

from swarmstrap.errors import Refused, SwarmstrapError
from swarmstrap.manifest import MANIFEST_FILE, TORRENT_FILE
from swarmstrap_server.commands.exits import Exit
from swarmstrap_server.control.operator_wire import Arm
from swarmstrap_server.images.publish import publish
from swarmstrap_server.images.signing import Key
from swarmstrap_server.images.sources.directory import Directory

Capture = pytest.CaptureFixture[str]


def publish_again(live: Live, version: str, content: bytes = b"") -> None:
    source = live.paths.root / "source"
    (source / "bin").mkdir(parents=True, exist_ok=True)
    (source / "bin/sh").write_bytes(b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x03\0\x3e\0" + content)
    store, key = live.services.images, Key(live.paths.publisher)
    publish(Directory(source), "tiny", version, store, key, level=1)


async def test_verify(live: Live, capsys: Capture) -> None:
    assert await live.command("image", "verify", "tiny", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    checks = {check["name"]: check for check in said["checks"]}
    assert list(checks) == ["signature", "torrent", "index", "payload", "GNU tar", "bsdtar"]
    assert checks["payload"]["said"].startswith("every frame, and the data of ")
    assert await live.command("image", "verify", "tiny") == 0
    assert "tiny:1 is what the publisher signed\n" in capsys.readouterr().out


async def test_a_tar_that_is_not_installed_is_told(
    live: Live, capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert await live.command("image", "verify", "tiny") == 0
    said = capsys.readouterr().out
    assert "bsdtar      not checked: bsdtar is not installed (Debian package libarchive" in said


async def test_a_tag_is_a_version_everywhere(live: Live, capsys: Capture) -> None:
    publish_again(live, "2")
    assert await live.command("image", "tag", "tiny:1", "stable") == 0
    assert await live.command("deploy", "tiny:stable", "--to", "n1") == 0
    assert "n1 is armed for tiny:1 until" in capsys.readouterr().out
    assert await live.command("image", "ls", "--json") == 0
    listed = json.loads(capsys.readouterr().out)
    assert [(one["image"], one["tags"]) for one in listed] == [
        ("tiny:1", ["stable"]),
        ("tiny:2", []),
    ]
    assert await live.command("image", "tag", "tiny:1", "2") == 1
    assert "tiny:2 is a version" in capsys.readouterr().err


async def test_what_is_in_use_stays(live: Live, capsys: Capture) -> None:
    publish_again(live, "2")
    assert await live.command("image", "tag", "tiny:2", "next") == 0
    assert await live.command("deploy", "tiny:1", "--to", "n1", "n2") == 0
    capsys.readouterr()
    assert await live.command("image", "rm", "tiny:1") == Exit.REFUSED
    assert "tiny:1 is armed for n1 and 1 more (--force removes" in capsys.readouterr().err
    assert await live.command("image", "rm", "tiny:2") == Exit.REFUSED
    assert "tiny:2 is tagged next" in capsys.readouterr().err
    assert await live.command("image", "rm", "--force", "tiny:2") == 0
    assert await live.command("disarm", "n1", "n2") == 0
    assert await live.command("image", "rm", "tiny:1") == 0
    assert live.services.images.ls() == ()


async def test_prune(live: Live, capsys: Capture) -> None:
    for version in "2345":
        publish_again(live, version)
    assert await live.command("image", "tag", "tiny:3", "stable") == 0
    with live.paths.settings.open("a") as settings:
        settings.write("images: {keep: 2}\n")
    capsys.readouterr()
    assert await live.command("image", "prune", "--dry-run") == 0
    said = capsys.readouterr().out
    assert "stays     tiny:3: tagged stable\n" in said
    assert "would go  tiny:2: 3 newer ones, 0 days old, not in use\n" in said
    assert len(live.services.images.ls()) == 5
    assert await live.command("image", "prune", "--json") == 0
    verdicts = json.loads(capsys.readouterr().out)
    assert [v["image"] for v in verdicts if v["stays"]] == ["tiny:5", "tiny:4", "tiny:3"]
    assert [i.label for i in live.services.images.ls()] == ["tiny:3", "tiny:4", "tiny:5"]


async def test_diff_and_fsck(live: Live, capsys: Capture) -> None:
    publish_again(live, "2")
    publish_again(live, "3", b"changed")
    assert await live.command("image", "diff", "tiny:2", "tiny:3", "--files") == 0
    said = capsys.readouterr().out
    assert "~ 'bin/sh': content, mtime, size\n0 added, 0 removed, 1 changed (1 in content)" in said
    assert await live.command("image", "fsck") == 0
    (live.paths.images / "notes").touch()
    assert await live.command("image", "fsck", "--full", "--json") == 1
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [finding["path"] for finding in found] == ["notes"]


async def test_export_and_import(live: Live, capsys: Capture, tmp_path: Path) -> None:
    target = str(tmp_path / "tiny.tar")
    assert await live.command("image", "export", "tiny", target) == 0
    assert await live.command("image", "export", "tiny", target) == 1
    assert "tiny.tar: File exists" in capsys.readouterr().err
    assert await live.command("image", "rm", "tiny:1") == 0
    assert await live.command("image", "import", target) == 0
    assert "imported tiny:1, verified" in capsys.readouterr().out
    assert await live.command("image", "import", target) == 1
    assert "image tiny:1 exists already" in capsys.readouterr().err


async def test_a_broken_image_stops_nobody_else(live: Live, capsys: Capture) -> None:
    publish_again(live, "2")
    publish_again(live, "3")
    (live.services.images.place("tiny", "2") / TORRENT_FILE).unlink()
    (live.services.images.place("tiny", "3") / MANIFEST_FILE).write_text("{")
    live.services.publish()
    assert [image.label for image in live.services.published.values()] == ["tiny:1"]
    for version, said in (("2", "tiny:2 has no image.torrent"), ("3", "manifest cannot be read")):
        with pytest.raises(SwarmstrapError, match=said):
            await asyncio.to_thread(
                live.operator.arm, Arm(nodes=("n1",), image="tiny", version=version)
            )
    assert await live.command("image", "ls") == 0
    assert capsys.readouterr().err.count("not usable: ") == 2


async def test_a_torrent_that_went_away_is_one_clear_refusal(live: Live) -> None:
    await asyncio.to_thread(live.operator.arm, Arm(nodes=("n1",), image="tiny"))
    (live.services.images.place("tiny", "1") / TORRENT_FILE).unlink()
    token = (await live.api.register(register(), patience=0)).token
    with pytest.raises(Refused, match=r"tiny:1 has no image\.torrent \(bring it back"):
        await live.api.job(token, patience=0)


async def test_what_nodes_would_refuse_is_not_armed(live: Live, capsys: Capture) -> None:
    assert await live.command("image", "revoke", "tiny:1") == 0
    assert await live.command("deploy", "tiny", "--to", "n1") == Exit.REFUSED
    assert "image tiny 1 was revoked (deploy another version)" in capsys.readouterr().err
    assert live.services.deployments.view("n1").state == "ready"
