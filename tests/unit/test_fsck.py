# SPDX-License-Identifier: GPL-2.0-or-later
"""A store is sound, or it is said what is wrong in it and what to do."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.publishing import Site

from swarmstrap.errors import BadInput
from swarmstrap.manifest import INDEX_FILE, MANIFEST_FILE, PAYLOAD_FILE, SIGNATURE_FILE
from swarmstrap_server.images.fsck import fsck
from swarmstrap_server.images.workspace import workspace


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site(tmp_path)
    site.publish(version="1")
    site.store.tags.set("system", "stable", "1")
    return site


def found(site: Site, *, full: bool = False) -> list[tuple[str, str]]:
    findings = list(fsck(site.store, site.signers, full=full))
    assert all(finding.advice for finding in findings)
    return [(finding.path, finding.problem) for finding in findings]


def test_a_sound_store(site: Site) -> None:
    with workspace(site.store.place("system", "2")):
        assert found(site, full=True) == []


def change(name: str, place: int) -> Callable[[Path], None]:
    def flip(version: Path) -> None:
        data = bytearray((version / name).read_bytes())
        data[place] ^= 1
        (version / name).write_bytes(data)

    return flip


@pytest.mark.parametrize(
    ("spoil", "path", "problem"),
    [
        (lambda version: (version / "notes").touch(), "system/1/notes", "belongs to no image"),
        (lambda version: (version / "../x y").mkdir(), "system/x y", "belongs to no image"),
        (lambda version: (version / "../../x").touch(), "x", "belongs to no image"),
        (lambda version: (version / "../../empty").mkdir(), "empty", "has no versions"),
        (lambda version: (version / "../.3.abcdefgh").mkdir(), "system/.3.abcdefgh", "was being"),
        (lambda version: (version / "../.3.removed").mkdir(), "system/.3.removed", "was being"),
        (lambda version: (version / "../3").mkdir(), "system/3", "has no manifest.json"),
        (lambda version: (version / INDEX_FILE).unlink(), "system/1", "system:1 has no index.zst"),
        (lambda version: (version / SIGNATURE_FILE).unlink(), "system/1", "has no signature"),
        (lambda version: (version / MANIFEST_FILE).write_text("{"), "system/1", "cannot be read"),
        (lambda version: (version / PAYLOAD_FILE).write_text("x"), "system/1", "it has 1 bytes"),
        (change(SIGNATURE_FILE, 200), "system/1", "signature does not hold"),
    ],
)
def test_what_is_wrong_is_found(
    site: Site, spoil: Callable[[Path], object], path: str, problem: str
) -> None:
    spoil(site.store.place("system", "1"))
    [(where, what)] = found(site)
    assert where == path
    assert problem in what


def test_contents_are_read_when_asked(site: Site) -> None:
    change(PAYLOAD_FILE, 1000)(site.store.place("system", "1"))
    assert found(site) == []
    [(where, what)] = found(site, full=True)
    assert (where, "was changed" in what) == ("system/1", True)


def test_tags(site: Site) -> None:
    site.publish(version="2")
    site.store.tags.set("system", "2", "1")
    site.store.tags.set("system", "old", "0")
    assert found(site) == [
        (".tags.json", "tag system:2 is hidden by the version of that name"),
        (".tags.json", "tag system:old is of 0, which does not exist"),
    ]
    site.store.tags.path.write_text("{")
    [(where, _)] = found(site)
    assert where == ".tags.json"
    with pytest.raises(BadInput, match=r"\.tags\.json"):
        site.store.get("system", "stable")


def test_a_tag_moves_and_goes_with_its_version(site: Site) -> None:
    site.publish(version="2")
    assert site.store.get("system", "stable").label == "system:1"
    site.store.tags.set("system", "stable", "2")
    assert site.store.get("system", "stable").label == "system:2"
    with pytest.raises(BadInput, match="system:stable is a tag, and cannot be a version"):
        site.publish(version="stable")
    with pytest.raises(BadInput, match=r"system:new is no tag \(tags of system: stable\)"):
        site.store.tags.remove("system", "new")
    site.store.rm("system", "2")
    assert site.store.tags.all() == {}
    with pytest.raises(BadInput, match="there is no image system:stable"):
        site.store.get("system", "stable")
