# SPDX-License-Identifier: GPL-2.0-or-later
"""The initramfs carries what the site trusts now, and it is noticed when it does not."""

from pathlib import Path

import pytest

from swarmstrap import floors
from swarmstrap.errors import BadInput
from swarmstrap_server import cli
from swarmstrap_server.installer import baked as baking
from swarmstrap_server.installer.baked import baked
from swarmstrap_server.site.making import init
from swarmstrap_server.site.paths import SitePaths
from swarmstrap_server.site.reading import read_site


@pytest.fixture
def paths(tmp_path: Path) -> SitePaths:
    init(tmp_path / "site", "test", ["192.0.2.1"], None)
    return SitePaths(tmp_path / "site")


def test_everything_that_a_node_relies_on(paths: SitePaths) -> None:
    paths.revoked_keys.write_text("ssh-ed25519 AAAA\n")
    paths.floors.write_text("floors: {debian: 2026-01-01T00:00:00Z}\n")
    files = baked(read_site(paths.root))
    assert files["/etc/swarmstrap/ca.crt"] == paths.ca_certificate.read_bytes()
    assert files["/etc/swarmstrap/allowed_signers"] == paths.allowed_signers.read_bytes()
    assert files["/etc/swarmstrap/revoked_keys"] == b"ssh-ed25519 AAAA\n"
    read = floors.decode(files["/etc/swarmstrap/floors.json"], "floors.json")
    assert read.floors == {"debian": "2026-01-01T00:00:00Z"}


@pytest.mark.parametrize("name", ["ca.crt", "allowed_signers"])
@pytest.mark.parametrize("empty", [True, False])
def test_without_a_key_there_is_no_installer(paths: SitePaths, name: str, empty: bool) -> None:
    site = read_site(paths.root)
    (paths.keys / name).unlink()
    if empty:
        (paths.keys / name).touch()
    with pytest.raises(BadInput, match=rf"{name}.*\(swarmstrap init makes a site's keys\)"):
        baked(site)


def test_check_says_when_the_installer_is_behind(
    paths: SitePaths, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["--site", str(paths.root), "check"]
    assert cli.main(command) == 0
    paths.initramfs.write_bytes(b"initramfs")
    baking.note(baked(read_site(paths.root)), paths.initramfs)
    assert cli.main(command) == 0
    paths.floors.write_text("floors: {debian: 2026-01-01T00:00:00Z}\n")
    capsys.readouterr()
    assert cli.main(command) == 1
    assert "keys or floors changed since (run swarmstrap initramfs)" in capsys.readouterr().err


def test_keys_that_cannot_be_baked_hide_no_other_problem(
    paths: SitePaths, capsys: pytest.CaptureFixture[str]
) -> None:
    paths.initramfs.write_bytes(b"initramfs")
    (paths.keys / "ca.crt").write_text("")
    (paths.root / "hooks" / "chroot" / "10-a").write_text("#!/bin/sh\n")
    assert cli.main(["--site", str(paths.root), "check"]) == 1
    hook, installer = capsys.readouterr().err.splitlines()
    assert hook.startswith("hooks/chroot/10-a: not signed")
    assert "ca.crt is empty" in installer


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("floors: {debian: 12}", "floors.yaml:1: floors: expected text, got a number"),
        ("floors:\n  debian: yesterday", "floors.yaml:2: 'yesterday' is not a time, as in 2026"),
        ("floors:\n  Debian: 2026-01-01T00:00:00Z", "floors.yaml:2: 'Debian' is no name of an"),
        ("revoked:\n\n  0123: debian", "floors.yaml:3: '0123' is no infohash"),
        ("floor: {}", "did you mean 'floors'"),
    ],
)
def test_floors_are_checked_like_the_rest(paths: SitePaths, text: str, said: str) -> None:
    paths.floors.write_text(text)
    with pytest.raises(BadInput, match=said):
        read_site(paths.root)
