# SPDX-License-Identifier: GPL-2.0-or-later
"""The way back to an old image is closed, on the server first, and nobody opens it by accident."""

from pathlib import Path

import pytest
from tests.publishing import Site

from swarmstrap.errors import Untrusted
from swarmstrap_server import cli
from swarmstrap_server.control.admission import check_image
from swarmstrap_server.site.making import init
from swarmstrap_server.site.paths import SitePaths
from swarmstrap_server.site.reading import read_floors, read_site

Capture = pytest.CaptureFixture[str]
DAY = 86400


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Its three versions are of three days."""
    site = Site(tmp_path)
    for number in (1, 2, 3):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", str(1_700_000_000 + number * DAY))
        site.publish(version=str(number))
    init(tmp_path, "test", ["192.0.2.1"], site.key.path)
    return site


def refused(site: Site) -> list[str]:
    """The versions that are not to be deployed."""
    read = read_site(site.store.root.parent)
    found = []
    for image in site.store.ls():
        try:
            check_image(read, image)
        except Untrusted:
            found.append(image.manifest.version)
    return found


def test_a_floor_only_rises(site: Site, capsys: Capture) -> None:
    root = site.store.root.parent
    assert refused(site) == []
    assert cli.main(["--site", str(root), "image", "floor", "system:2"]) == 0
    assert refused(site) == ["1"]
    assert cli.main(["--site", str(root), "image", "floor", "system:1"]) == 1
    assert "the floor of system is 2023-11-16T22:13:20Z; this version" in capsys.readouterr().err
    assert cli.main(["--site", str(root), "image", "floor", "system:3"]) == 0
    assert refused(site) == ["1", "2"]


def test_one_version_is_revoked(site: Site, capsys: Capture) -> None:
    root = site.store.root.parent
    assert cli.main(["--site", str(root), "image", "revoke", "system:2"]) == 0
    assert cli.main(["--site", str(root), "image", "floor", "system:1"]) == 0
    assert refused(site) == ["2"]
    floors = read_floors(SitePaths(root))
    assert floors.floors == {"system": "2023-11-15T22:13:20Z"}
    assert floors.revoked == {site.store.get("system", "2").manifest.infohash: "system:2"}
    capsys.readouterr()
    assert cli.main(["--site", str(root), "image", "ls"]) == 0
    rows = [line.split()[:2] for line in capsys.readouterr().out.splitlines()]
    assert rows[1:] == [["system:1", "x86_64"], ["system:2", "refused"], ["system:3", "x86_64"]]
    assert cli.main(["--site", str(root), "image", "show", "system:2"]) == 0
    assert "refused       image system 2 was revoked\n" in capsys.readouterr().out
