# SPDX-License-Identifier: GPL-2.0-or-later
"""The installed system from outside: its symlinks lead nowhere else, its programs see little."""

import os
import stat
from pathlib import Path

import pytest

from swarmstrap.effects.disks.mounts import mount_points
from swarmstrap.effects.system.chroot import enter, inside, remove_files, write_file
from swarmstrap.errors import StepFailed
from swarmstrap.steps.system import RemoveFiles, WriteFile


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/etc/fstab", "etc/fstab"),
        ("etc//./fstab", "etc/fstab"),
        ("/../../etc", "etc"),
        ("/absolute/passwd", "etc/passwd"),
        ("/escape/passwd", "etc/passwd"),
        ("/etc/relative/x", "var/x"),
        ("/etc/dangling", "run/not/there"),
    ],
)
def test_inside(path: str, place: str, tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "absolute").symlink_to("/etc")
    (tmp_path / "escape").symlink_to("../../../../../etc")
    (tmp_path / "etc/relative").symlink_to("../var")
    (tmp_path / "etc/dangling").symlink_to("/run/not/there")
    assert inside(tmp_path, path) == tmp_path / place


def test_a_circle_of_symlinks(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(StepFailed, match="too many symlinks in /a/x"):
        inside(tmp_path, "/a/x")


def test_a_file_is_written_where_the_image_has_a_symlink_out(tmp_path: Path) -> None:
    outside, root = tmp_path / "outside", tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    outside.write_text("untouched")
    (root / "etc/hostname").symlink_to(outside)
    write_file(WriteFile("/etc/hostname", "node7\n", 0o444), root)
    assert outside.read_text() == "untouched"
    assert not (root / "etc/hostname").is_symlink()
    assert (root / "etc/hostname").read_text() == "node7\n"
    assert stat.S_IMODE((root / "etc/hostname").stat().st_mode) == 0o444
    assert [path.name for path in (root / "etc").iterdir()] == ["hostname"]


def test_a_private_file_gets_a_private_folder(tmp_path: Path) -> None:
    write_file(WriteFile("/root/.ssh/authorized_keys", "key\n", 0o600), tmp_path)
    assert stat.S_IMODE((tmp_path / "root/.ssh").stat().st_mode) == 0o700


def test_removing_takes_the_symlink_not_its_target(tmp_path: Path) -> None:
    outside, root = tmp_path / "outside", tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    outside.write_text("untouched")
    (root / "etc/key").symlink_to(outside)
    remove_files(RemoveFiles(("/etc/key", "/etc/absent", "/no/such/folder"), "test"), root)
    assert outside.exists()
    assert list((root / "etc").iterdir()) == []


def script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def sh(root: Path, command: str) -> str:
    with enter(root) as inner:
        return inner.run(["/bin/sh", "-c", command], timeout=30).stdout


def test_programs_see_neither_processes_nor_environment_nor_run(
    system: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWARMSTRAP_SECRET", "swordfish")
    processes = sh(system, "ls -d /proc/[0-9]*").split()
    assert len(processes) <= 2
    assert "swordfish" not in sh(system, "env; cat /proc/*/environ")
    assert sh(system, "ls /run").split() in ([], ["systemd"])
    assert "null" in sh(system, "ls /dev")


def test_nothing_stays_mounted_or_running(system: Path) -> None:
    for name in ("held", "ready"):
        os.mkfifo(system / "tmp" / name)
    reader = os.open(system / "tmp/held", os.O_RDONLY | os.O_NONBLOCK)
    left = "(exec 3>/tmp/held; echo > /tmp/ready; exec sleep 60) >/dev/null 2>&1 &"
    sh(system, f"{left} cat /tmp/ready")
    assert os.read(reader, 1) == b"", "what the program left running was killed"
    os.close(reader)
    assert mount_points(system) == []
    assert list((system / "run").iterdir()) == []
    assert not (system / "usr/sbin/policy-rc.d").exists()
    assert Path("/dev/null").is_char_device()
    assert Path("/dev/pts").is_mount() or not Path("/dev/pts").exists()


def test_services_are_forbidden_meanwhile(system: Path) -> None:
    assert "exit 101" in sh(system, "cat /usr/sbin/policy-rc.d")
    script(system / "usr/sbin/policy-rc.d", "exit 0 # own")
    assert "own" in sh(system, "cat /usr/sbin/policy-rc.d")
    assert (system / "usr/sbin/policy-rc.d").exists()


def test_names_can_be_resolved_and_the_image_keeps_its_own_file(system: Path) -> None:
    ours = Path("/etc/resolv.conf").read_text()
    (system / "etc/resolv.conf").write_text("nameserver 192.0.2.99\n")
    assert sh(system, "cat /etc/resolv.conf") == ours
    assert (system / "etc/resolv.conf").read_text() == "nameserver 192.0.2.99\n"
    (system / "etc/resolv.conf").unlink()
    (system / "etc/resolv.conf").symlink_to("../run/systemd/resolve/stub-resolv.conf")
    assert sh(system, "cat /etc/resolv.conf") == ours


def test_failure_and_deadline_clean_up(system: Path) -> None:
    with pytest.raises(StepFailed, match=r"^sh ended with status 3: no good"):
        sh(system, "echo no good >&2; exit 3")
    with (
        pytest.raises(StepFailed, match=r"^sleep did not end within 1 s"),
        enter(system) as inner,
    ):
        inner.run(["/bin/sleep", "60"], timeout=1)
    assert mount_points(system) == []
