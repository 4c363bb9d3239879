# SPDX-License-Identifier: GPL-2.0-or-later
"""`swarmstrap-agent update`: a deployed system, and an image from a folder or from the server."""

import asyncio
import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.applying import applied
from tests.http.conftest import Live
from tests.plans.test_plans import plan_of
from tests.publishing import Site
from tests.trees import needs_root

from swarmstrap import cli
from swarmstrap.deployed import RECORD, read_record, write_record
from swarmstrap.effects.system.chroot import write_file
from swarmstrap.steps.system import WriteFile

CASE = Path(__file__).parent.parent / "plans" / "bios-virtio"

pytestmark = needs_root


@pytest.fixture
async def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Version 1 of an image, as a node has it after its plan; version 2 is published."""
    site = Site(tmp_path)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    for name in ("goes", "changes", "stays"):
        (site.source / name).write_text(name)
    (site.source / "etc/fstab").write_text("the image's")
    (site.source / "etc/hostname").write_text("the image's")
    image = site.image()
    root = tmp_path / "root"
    root.mkdir()
    await applied(image.directory, image.manifest, root)
    for step in plan_of(CASE).steps:
        if isinstance(step, WriteFile):
            write_file(step, root)
    found = read_record((root / RECORD.lstrip("/")).read_bytes())
    found = replace(found, name="system", version="1", created=image.manifest.created)
    write_file(write_record(replace(found, volumes=found.volumes[-1:])), root)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1800000000")
    (site.source / "goes").unlink()
    (site.source / "changes").write_text("changed")
    (site.source / "comes").write_text("new")
    site.publish("system", "2")
    return root


def agent(root: Path, image: str, *options: str) -> int:
    keys = str(root.parent / "allowed_signers")
    return cli.main(["update", "--root", str(root), "--image", image, "--keys", keys, *options])


def test_a_dry_run_changes_nothing(system: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(system.parent / "images/system/2")
    assert agent(system, folder, "--dry-run") == 0
    *lines, summary = capsys.readouterr().out.splitlines()
    assert lines == ["+ 'comes'", "~ 'changes'", "- 'goes'"]
    assert summary.startswith("1 new, 1 changed, 0 with other metadata, 1 to remove; ")
    assert (system / "goes").exists()
    assert not (system / "var/lib/swarmstrap/updating").exists()


def test_from_a_folder(system: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(system.parent / "images/system/2")
    fstab = (system / "etc/fstab").read_text()
    assert agent(system, folder, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["added"] + said["changed"] + said["removed"] == ["'comes'", "'changes'", "'goes'"]
    assert not (system / "goes").exists()
    assert (system / "etc/fstab").read_text() == fstab != "the image's"
    assert read_record((system / RECORD.lstrip("/")).read_bytes()).version == "2"
    assert agent(system, folder, "--dry-run") == 0
    assert capsys.readouterr().out.startswith("0 new, 0 changed, 0 with other metadata, 0 to")
    assert agent(system, str(system.parent / "images/system/1")) == 1
    assert "is older than what is there" in capsys.readouterr().err


async def test_from_the_server(system: Path, live: Live) -> None:
    shutil.copytree(system.parent / "images/system", live.paths.images / "system")
    live.services.publish()
    command = ["-m", "swarmstrap", "update", "--root", str(system)]
    command += ["--image", f"{live.boot}/images/system:2"]
    command += ["--keys", str(system.parent / "allowed_signers")]
    asked = await asyncio.create_subprocess_exec(sys.executable, *command)
    assert await asyncio.wait_for(asked.wait(), 60) == 0
    assert (system / "changes").read_text() == "changed"
    assert not (system / "goes").exists()
    assert sorted(os.listdir(system / "var/lib/swarmstrap")) == ["deployed.json"]


@pytest.mark.parametrize(
    ("image", "complaint"),
    [
        ("/nowhere", "cannot read /nowhere/manifest.json"),
        ("http://127.0.0.1:1/images/system", "does not answer"),
        ("https://127.0.0.1/images/system", "is no image"),
    ],
)
def test_no_image_is_one_line(
    system: Path, image: str, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert agent(system, image) == 1
    said = capsys.readouterr().err
    assert complaint in said
    assert said.count("\n") == 1


def test_what_is_refused(system: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = system.parent / "images/system/2"
    with (folder / "manifest.json").open("ab") as file:
        file.write(b" ")
    assert agent(system, str(folder)) == 1
    assert "signature does not hold" in capsys.readouterr().err
    place = system / RECORD.lstrip("/")
    place.write_text(place.read_text().replace('"hooks": []', '"hooks": ["10-agent"]'))
    assert agent(system, str(system.parent / "images/system/1")) == 1
    assert "hooks changed this system (10-agent)" in capsys.readouterr().err
    place.unlink()
    assert agent(system, str(system.parent / "images/system/1")) == 1
    assert "no system of ours" in capsys.readouterr().err
    assert (system / "goes").exists()
