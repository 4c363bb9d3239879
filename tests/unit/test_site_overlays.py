# SPDX-License-Identifier: GPL-2.0-or-later
"""Overlays in the site folder: read, complained about, signed; and the example of the page."""

import os
import re
from pathlib import Path

import pytest

from swarmstrap.errors import Untrusted
from swarmstrap.overlays import MOST_BYTES, overlay_steps
from swarmstrap.wire import OverlayFile
from swarmstrap_server import cli
from swarmstrap_server.control.jobs import template_words
from swarmstrap_server.images.signing import Key, claimed
from swarmstrap_server.site import signatures
from swarmstrap_server.site.differing import differences
from swarmstrap_server.site.paths import SitePaths
from swarmstrap_server.site.reading import Site, examine_site, read_site
from swarmstrap_server.site.signatures import signables

PAGE = (Path(__file__).parents[2] / "docs" / "overlays.md").read_text()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "layouts").mkdir()
    (tmp_path / "keys").mkdir()
    layout = "disks:\n- id: system\n  partitions:\n  - {label: root, type: root, size_min: 1GiB, "
    (tmp_path / "layouts/default.yaml").write_text(f"{layout}format: ext4, mount: /}}\n")
    (tmp_path / "site.yaml").write_text("name: test\naddress: 192.0.2.1\n")
    (tmp_path / "groups.yaml").write_text("groups:\n- name: all\n  overlays: [base]\n")
    (tmp_path / "nodes.yaml").write_text(
        "nodes:\n- {name: n1, serial: a1}\n- {name: n2, serial: a2, overlays: []}\n"
    )
    put(tmp_path, "base/etc/motd", "Welcome\n")
    key = Key.generate(SitePaths(tmp_path).publisher)
    SitePaths(tmp_path).allowed_signers.write_text(key.allowed_signers())
    return tmp_path


def put(root: Path, name: str, text: str, mode: int = 0o644) -> None:
    path = root / "overlays" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def problems(root: Path) -> list[str]:
    return [str(problem) for problem in examine_site(root)[1]]


def sign(site: Site, key: Path, instead_of: str = "") -> list[str]:
    return [one.name for one in signatures.sign(site, "overlay", Key(key), instead_of=instead_of)]


def check_signed(root: Path) -> None:
    (overlay,) = signables(read_site(root), "overlay")
    signatures.check_signed(overlay, SitePaths(root))


def test_files_are_root_s_unless_the_table_says_otherwise(root: Path) -> None:
    put(root, "base/etc/motd", "Welcome\n", 0o660)
    put(root, "base/usr/local/bin/x", "#!/bin/sh\n", 0o700)
    put(root, "base/etc/chrony.conf.tmpl", "server $SWARMSTRAP_VAR_ntp\n")
    os.symlink("/no/such/file", root / "overlays/base/etc/link")
    os.symlink("/etc", root / "overlays/base/folder")
    put(root, "base.yaml", 'files:\n  /etc/chrony.conf: {group: 42, mode: "0640"}\n')
    (overlay,) = read_site(root).overlays_of("n1")
    assert overlay.files == (
        OverlayFile(
            path="/etc/chrony.conf",
            kind="template",
            content=b"server $SWARMSTRAP_VAR_ntp\n",
            mode=0o640,
            group=42,
        ),
        OverlayFile(path="/etc/link", kind="link", content=b"/no/such/file"),
        OverlayFile(path="/etc/motd", content=b"Welcome\n"),
        OverlayFile(path="/folder", kind="link", content=b"/etc"),
        OverlayFile(path="/usr/local/bin/x", content=b"#!/bin/sh\n", mode=0o755),
    )
    assert read_site(root).overlays_of("n2") == ()


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("base/etc/motd.tmpl", "", r"overlays/base/etc/motd.tmpl: there is a template for /etc/mo"),
        ("base/etc/fstab", "", r"overlays/base/etc/fstab: /etc/fstab is written by the deployment"),
        ("bsae.yaml", "files: {}\n", r"overlays/bsae.yaml: no overlay 'bsae', did you mean 'base'"),
        ("-a/etc/x", "", r"overlays/-a: not an overlay's name"),
        ("base.yaml", "files:\n  /etc/mtod: {}\n", r"overlays/base.yaml:2: no file /etc/mtod, did"),
        ("base.yaml", "files:\n  /etc/motd: {mode: u=rw}\n", r"overlays/base.yaml:2: 'u=rw' is no"),
        (
            "base.yaml",
            "files:\n  /etc/motd: {mode: 644}\n",
            r"overlays/base.yaml:2: mode: expected text",
        ),
        ("base.yaml", "files:\n  /etc/motd: {owner: root}\n", r"overlays/base.yaml:2: owner: exp"),
        ("base/big", "x" * (MOST_BYTES + 1), r"overlays/base: larger than the 4 MiB that a node"),
    ],
)
def test_one_complaint_for_what_is_wrong(root: Path, name: str, text: str, said: str) -> None:
    put(root, name, text)
    (problem,) = problems(root)
    assert re.match(said, problem)


def test_what_is_neither_file_nor_link(root: Path) -> None:
    os.mkfifo(root / "overlays/base/etc/pipe")
    assert problems(root) == ["overlays/base/etc/pipe: neither a file nor a symbolic link"]


def test_words_that_name_overlays_are_checked_where_they_stand(root: Path) -> None:
    put(root, "large/a", "x" * (MOST_BYTES - 100))
    (root / "nodes.yaml").write_text(
        "nodes:\n- name: n1\n  serial: a1\n  overlays: [bsae]\n"
        "- name: n2\n  serial: a2\n  overlays: [large, large]\n"
    )
    assert problems(root) == [
        "nodes.yaml:4: no overlay 'bsae', did you mean 'base'?",
        "nodes.yaml:7: overlays of 8 MiB in all, and a node takes 4 MiB",
    ]


def test_signing_signs_what_changed(root: Path) -> None:
    key = SitePaths(root).publisher
    with pytest.raises(Untrusted, match="overlay base: the overlay has no signature"):
        check_signed(root)
    assert sign(read_site(root), key) == ["base"]
    assert sign(read_site(root), key) == []
    signed = read_site(root).overlays["base"]
    check_signed(root)
    assert sign(read_site(root), key, instead_of=claimed(signed.signature)) == ["base"]
    (root / "overlays/base/etc/motd").chmod(0o755)
    with pytest.raises(Untrusted, match=r"the overlay is not what key .* signed"):
        check_signed(root)
    assert cli.main(["--site", str(root), "overlay", "sign"]) == 0
    assert sign(read_site(root), key) == []


def test_keys_of_a_site_from_before_are_told_from_a_bad_signature(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = SitePaths(root)
    sign(read_site(root), paths.publisher)
    allowed = paths.allowed_signers.read_text()
    paths.allowed_signers.write_text(allowed.replace(",swarmstrap-overlay", ""))
    with pytest.raises(Untrusted) as refused:
        check_signed(root)
    assert refused.value.hint.startswith("add swarmstrap-overlay to the namespaces in keys/all")
    assert cli.main(["--site", str(root), "check"]) == 1
    assert "overlays/base: not signed as it is now (add swarmst" in capsys.readouterr().err


def test_diff_says_whose_files_changed(root: Path, tmp_path: Path) -> None:
    before = tmp_path / "before"
    for name in ("site.yaml", "nodes.yaml", "groups.yaml"):
        before.mkdir(exist_ok=True)
        (before / name).write_text((root / name).read_text())
    (before / "layouts").symlink_to(root / "layouts")
    put(before, "base/etc/motd", "Good morning\n")
    (found,) = differences(read_site(before), read_site(root))
    assert (found.what, found.change, found.nodes) == ("overlays/base", "changed", ("n1",))


def test_the_example_of_the_page(root: Path) -> None:
    """Blocks that begin with `# PATH` are files of the site folder."""
    blocks = re.findall(r"```\w+\n# (\S+)\n(.*?)```", PAGE, flags=re.DOTALL)
    assert len(blocks) == 3
    for path, text in blocks:
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    assert problems(root) == []
    site = read_site(root)
    (step,) = overlay_steps(site.overlays_of("n1"), template_words(site, "n1"))
    (made,) = (file for file in step.files if file.path == "/etc/chrony/chrony.conf")
    assert made.content == b"# n1.example\nserver 192.0.2.5 iburst\n"
    assert (made.mode, made.group) == (0o640, 42)
