# SPDX-License-Identifier: GPL-2.0-or-later
"""`swarmstrap show` and `swarmstrap diff`: what holds for a node, and what is another now."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from swarmstrap_server import cli

Capture = pytest.CaptureFixture[str]
LAYOUT = """\
disks:
- id: system
  partitions:
  - {label: root, type: root, size_min: 1GiB, format: ext4, mount: /}
"""
NODES = """\
nodes:
- name: n[1-3]
  serial: [a1, a2, a3]
  hostname: "{name}.example"
- {name: head, serial: a4, layout: big}
"""
GROUPS = """\
groups:
- name: compute
  members: ["n[1-3]"]
  variables: {role: compute}
"""


def git(root: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    subprocess.run(["git", "-C", root, *identity, *arguments], check=True, capture_output=True)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A site folder below the top of a repository."""
    root = tmp_path / "repository" / "site"
    for folder in ("layouts", "hooks/chroot"):
        (root / folder).mkdir(parents=True)
    (root / "site.yaml").write_text("name: test\naddress: 192.0.2.1\n")
    (root / "nodes.yaml").write_text(NODES)
    (root / "groups.yaml").write_text(GROUPS)
    for name in ("default", "big"):
        (root / "layouts" / f"{name}.yaml").write_text(LAYOUT)
    (root / "hooks" / "chroot" / "10-a").write_text("#!/bin/sh\n")
    git(tmp_path / "repository", "init", "--quiet")
    git(root, "add", ".")
    git(root, "commit", "--quiet", "-m", "site")
    return root


def edit(root: Path, file: str, old: str, new: str) -> None:
    text = (root / file).read_text()
    assert old in text
    (root / file).write_text(text.replace(old, new))


def diff(root: Path, capsys: Capture, *arguments: str) -> list[str]:
    assert cli.main(["--site", str(root), "diff", *arguments]) == 0
    return capsys.readouterr().out.splitlines()


def test_show_says_what_holds_and_where_it_stands(root: Path, capsys: Capture) -> None:
    assert cli.main(["--site", str(root), "show", "n2"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert " ".join(lines[0]) == "n2, in compute, all"
    assert ["hostname", "n2.example", "the", "node", "nodes.yaml:4"] in lines
    assert ["layout", "default", "the", "site", "site.yaml"] in lines
    assert ["variables.role", "compute", "group", "compute", "groups.yaml:4"] in lines


def test_show_for_machines(root: Path, capsys: Capture) -> None:
    assert cli.main(["--site", str(root), "show", "head", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    (layout,) = (word for word in told["words"] if word["key"] == "layout")
    assert layout == {
        "key": "layout",
        "value": "big",
        "owner": "the node",
        "place": "nodes.yaml:5",
    }


def test_a_node_that_is_not_there(root: Path, capsys: Capture) -> None:
    assert cli.main(["--site", str(root), "show", "haed"]) == 1
    assert "did you mean 'head'?" in capsys.readouterr().err


def test_nothing_changed(root: Path, capsys: Capture) -> None:
    assert diff(root, capsys) == ["nothing changed since HEAD"]


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        ("groups.yaml", "role: compute", "role: gpu", "n[1-3]: variables.role: compute -> gpu"),
        ("nodes.yaml", "layout: big", "rack: r1", "head: layout: big -> default (site.yaml)"),
        ("nodes.yaml", "layout: big", "rack: r1", "head: rack: nothing -> r1 (nodes.yaml:5)"),
        ("nodes.yaml", "{name: head", "{name: chief", "head: gone"),
        ("nodes.yaml", "{name: head", "{name: chief", "chief: new"),
        ("groups.yaml", '"n[1-3]"', '"n[1-2]"', 'n3: groups: ["compute","all"] -> ["all"]'),
        (
            "nodes.yaml",
            "{name}.example",
            "{name}.{role}",
            "n[1-3]: hostname: {name}.example -> {name}.{role} (nodes.yaml:4)",
        ),
        (
            "groups.yaml",
            "  variables",
            "  power: {driver: ssh, host: '{name}.hv', on: start}\n  variables",
            "n[1-3]: power.host: nothing -> {name}.hv (groups.yaml:4)",
        ),
        ("layouts/big.yaml", "1GiB", "2GiB", "head: layouts/big.yaml is changed"),
        ("hooks/chroot/10-a", "sh", "sh -e", "head,n[1-3]: hooks/chroot/10-a is changed"),
        ("site.yaml", "192.0.2.1", "192.0.2.2", "the site: address: 192.0.2.1 -> 192.0.2.2"),
    ],
)
def test_what_changed_and_for_whom(
    root: Path, capsys: Capture, file: str, old: str, new: str, expected: str
) -> None:
    edit(root, file, old, new)
    assert any(line.startswith(expected) for line in diff(root, capsys))


def test_between_two_folders(root: Path, tmp_path: Path, capsys: Capture) -> None:
    shutil.copytree(root, tmp_path / "copy")
    edit(root, "nodes.yaml", "layout: big", "layout: default")
    found = diff(root, capsys, "--from", str(tmp_path / "copy"), "--json")
    assert json.loads(found[0]) == [
        {
            "what": "layout",
            "change": "changed",
            "nodes": ["head"],
            "before": "big",
            "after": "default",
            "place": "nodes.yaml:5",
        }
    ]


@pytest.mark.parametrize("revision", ["HEAD~9", "--all", "nowhere"])
def test_what_is_no_revision(root: Path, capsys: Capture, revision: str) -> None:
    assert cli.main(["--site", str(root), "diff", f"--from={revision}"]) == 1
    assert "is neither a folder nor a revision of" in capsys.readouterr().err
