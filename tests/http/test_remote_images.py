# SPDX-License-Identifier: GPL-2.0-or-later
"""`swarmstrap image ls` and `show` beside the store and from another machine: the same."""

from pathlib import Path

import pytest
from tests.http.api import Api, make_api
from tests.http.conftest import Live, make_system

from swarmstrap_server.commands.exits import Exit
from swarmstrap_server.images.publish import publish
from swarmstrap_server.images.signing import Key
from swarmstrap_server.images.sources.directory import Directory

Capture = pytest.CaptureFixture[str]


@pytest.fixture
async def api(live: Live, tmp_path: Path) -> Api:
    """A second version, and a tag and a revocation that came after the server read its site."""
    store, key = live.services.images, Key(live.paths.publisher)
    publish(Directory(make_system(tmp_path)), "tiny", "2", store, key, level=1)
    assert await live.command("image", "tag", "tiny:1", "stable") == 0
    assert await live.command("image", "revoke", "tiny:1") == 0
    return make_api(live)


async def test_images_are_listed_as_they_lie_there(api: Api, capsys: Capture) -> None:
    for line in ("image ls", "image ls --json", "image ls tiny", "image ls other"):
        here, there = await api.both(capsys, *line.split())
        assert there == here
        assert there[0] == Exit.DONE
        assert ("stable" in there[1]) == ("other" not in line)
    assert "stable, refused" in (await api.both(capsys, "image", "ls"))[1][1]


@pytest.mark.parametrize(
    ("image", "version"), [("tiny", "2"), ("tiny:1", "1"), ("tiny:stable", "1")]
)
async def test_an_image_is_shown_by_version_tag_or_neither(
    api: Api, capsys: Capture, image: str, version: str
) -> None:
    for options in ((), ("--json",)):
        here, there = await api.both(capsys, "image", "show", image, *options)
        assert there == here
        assert there[0] == Exit.DONE
        assert f"tiny:{version}" in there[1]
        assert ("was revoked" in there[1]) == (version == "1")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("image ls NONE", "not a name for an image: 'NONE'"),
        ("image show other", "there is no image other (images of this site: tiny:1, tiny:2)"),
        ("image show tiny:3", "there is no image tiny:3 (images of this site: tiny:1, tiny:2)"),
    ],
)
async def test_what_is_no_image(api: Api, capsys: Capture, line: str, said: str) -> None:
    here, there = await api.both(capsys, *line.split())
    assert there == here
    assert there[:2] == (Exit.FAILED, "")
    assert there[2].startswith(f"swarmstrap: {said}")
