# SPDX-License-Identifier: GPL-2.0-or-later
"""`swarmstrap check` beside the site folder and from another machine: the same, word for word."""

import json

import pytest
from tests.http.api import Api, make_api
from tests.http.conftest import Live

from swarmstrap_server.installer.baked import baked, note
from swarmstrap_server.site.reading import read_site

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def api(live: Live) -> Api:
    """Of a site in which nothing is wrong."""
    note(baked(read_site(live.paths.root)), live.paths.initramfs)
    return make_api(live)


async def test_a_site_with_nothing_wrong(api: Api, capsys: Capture) -> None:
    here, there = await api.both(capsys, "check")
    assert there == here
    assert there == (0, "site test: nothing wrong (nodes: 3, layouts: 1, hooks: 0)\n", "")


async def test_every_problem_has_its_file_and_line(api: Api, capsys: Capture) -> None:
    root = api.live.paths.root
    (root / "hooks" / "chroot" / "10-a").write_text("#!/bin/sh\n")
    (root / "layouts" / "odd.yaml").write_text("disk: []\n")
    with (root / "nodes" / "lab.yaml").open("a") as nodes:
        nodes.write("- {name: n4, mac: x}\n")
    api.live.paths.floors.write_text("floors: {tiny: 2026-01-01T00:00:00Z}\n")
    here, there = await api.both(capsys, "check", "--json")
    assert there == here
    assert there[0] == 1
    places = [line.split(": ")[0] for line in json.loads(there[1])["problems"]]
    assert places == [
        "layouts/odd.yaml:1",
        "nodes/lab.yaml:8",
        "hooks/chroot/10-a",
        "boot/initramfs.img",
    ]
    here, there = await api.both(capsys, "check")
    assert there == here
    assert (there[1], there[2].count("\n")) == ("", len(places))


async def test_a_server_goes_on_with_the_site_of_before(api: Api, capsys: Capture) -> None:
    site = api.live.services.deployments.site
    (site.paths.root / "site.yaml").write_text("name: test\nadress: 127.0.0.1\n")
    here, there = await api.both(capsys, "check")
    assert there == here
    assert there[2].startswith("site.yaml:2: unknown key 'adress' in")
    assert api.live.services.deployments.site is site
    assert await api.command("viewer", "node", "ls") == 0
