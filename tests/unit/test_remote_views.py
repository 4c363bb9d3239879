# SPDX-License-Identifier: GPL-2.0-or-later
"""Which filesystems of another machine are taken, by which view, and that no snapshot stays."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from tests.trees import needs_root

from swarmstrap.command import PATH
from swarmstrap.errors import BadInput
from swarmstrap.mountinfo import Mount
from swarmstrap.units import Bytes, GiB, MiB
from swarmstrap_server.images.remote.snapshots import Snapshots
from swarmstrap_server.images.remote.survey import Survey, Volume
from swarmstrap_server.images.remote.views import (
    BtrfsSnapshot,
    Live,
    LvmSnapshot,
    Part,
    View,
    Views,
    choose_views,
)
from swarmstrap_server.images.strip import chosen
from swarmstrap_server.run import conversation, run

ROOT = Mount(b"/", (254, 0), "ext4")
BOOT = Mount(b"/boot", (8, 2), "ext4")
ESP = Mount(b"/boot/efi", (8, 1), "vfat")
BTRFS = Mount(b"/", (0, 39), "btrfs", b"/@", b"rw,ssd,subvolid=256,subvol=/@")
HOME = Mount(b"/home", (0, 39), "btrfs", b"/@home", b"rw,subvolid=257,subvol=/@home")
LOGS = Mount(b"/logs", (0, 39), "btrfs", b"/@/var/log", b"rw,subvolid=256,subvol=/@")
PLAIN = Volume("vg0", "root", Bytes(10 * GiB), Bytes(4 * GiB), "", (254, 0))


def survey(*mounts: Mount, volumes: tuple[Volume, ...] = (), path: bytes = b"/") -> Survey:
    return Survey(path, "", True, True, list(mounts), list(volumes))


def view_of(found: Survey) -> View:
    return choose_views(found).parts[0].view


def test_which_filesystems_are_the_system() -> None:
    guests = [
        Mount(b"/proc", (0, 21), "proc"),
        Mount(b"/proc/fs", (8, 9), "ext4"),
        Mount(b"/srv/data", (0, 50), "nfs4"),
        Mount(b"/mnt/stick", (8, 17), "ext4"),
        Mount(b"/var/www", (8, 2), "ext4", b"/www"),
        Mount(b"/boot again", (8, 2), "ext4"),
    ]
    views = choose_views(survey(ROOT, *guests, BOOT, ESP))
    assert [part.inside for part in views.parts] == [b"/", b"/boot", b"/boot/efi"]
    assert views.left_out == {
        b"/proc": "what is mounted there (proc), not a filesystem of a disk",
        b"/srv/data": "what is mounted there (nfs4), not a filesystem of a disk",
        b"/mnt/stick": "what is mounted there (ext4), a guest at such a place",
        b"/var/www": "what is mounted there, a part of /boot once more",
        b"/boot again": "what is mounted there, a part of /boot once more",
    }


def test_a_system_below_a_mount_point() -> None:
    chroot = Mount(b"/mnt", (8, 33), "xfs")
    boot = Mount(b"/mnt/new/boot", (8, 34), "ext4")
    views = choose_views(survey(ROOT, BOOT, chroot, boot, path=b"/mnt/new"))
    assert [(part.mount, part.inside) for part in views.parts] == [(chroot, b"/"), (boot, b"/boot")]


def test_the_kernel_has_no_system() -> None:
    with pytest.raises(BadInput, match=r"/proc/1 is in a filesystem of the kernel's \(proc\)"):
        choose_views(survey(ROOT, Mount(b"/proc", (0, 21), "proc"), path=b"/proc/1"))


def test_a_filesystem_that_is_stripped() -> None:
    data = Mount(b"/data/of/users", (8, 2), "xfs")
    archive = Mount(b"/data/of/users/then", (8, 3), "xfs")
    views = choose_views(survey(ROOT, ESP, data, archive), chosen([], ["/data"]))
    assert [part.inside for part in views.parts] == [b"/", b"/boot/efi"]
    assert views.left_out == {b"/data/of/users": "what is mounted there, which is stripped"}


def test_what_is_mounted_last_is_what_is_seen() -> None:
    over = Mount(b"/boot", (8, 50), "xfs")
    assert choose_views(survey(ROOT, BOOT, over)).parts[1].mount == over


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (survey(BTRFS), BtrfsSnapshot()),
        (survey(ROOT, volumes=(PLAIN,)), LvmSnapshot(PLAIN, Bytes(2 * GiB))),
        (survey(BOOT, ROOT), Live("ext4 on no logical volume has no snapshots")),
    ],
)
def test_view(found: Survey, expected: View) -> None:
    assert view_of(found) == expected


@pytest.mark.parametrize(
    ("size", "free", "pool", "expected"),
    [
        (100 * GiB, 50 * GiB, "", 20 * GiB),
        (100 * GiB, 6 * GiB, "", 6 * GiB),
        (100 * GiB, 4 * GiB, "", "volume group vg0 has 4 GiB left for a snapshot"),
        (100 * GiB, 0, "", "volume group vg0 has 0 B left for a snapshot"),
        (100 * GiB, 0, "pool", None),
        (16 * MiB, 8 * MiB, "", 4 * MiB),
    ],
)
def test_view_of_a_volume(size: int, free: int, pool: str, expected: int | str | None) -> None:
    volume = Volume("vg0", "root", Bytes(size), Bytes(free), pool, (254, 0))
    view = view_of(survey(ROOT, volumes=(volume,)))
    assert not isinstance(view, BtrfsSnapshot)
    assert (view.reason if isinstance(view, Live) else view.size) == expected


def test_live_because() -> None:
    found = survey(BTRFS)
    reasons = [
        str(view_of(found))
        for found in (
            dataclasses.replace(found, can_snapshot=False),
            dataclasses.replace(found, has_btrfs=False),
            survey(LOGS, path=b"/logs"),
        )
    ]
    assert reasons == [
        "while it is in use: its user may run rsync as root, and nothing else",
        "while it is in use: there is no btrfs command to take a snapshot by",
        "while it is in use: it is a directory of a subvolume",
    ]
    (part,) = choose_views(found, live=True).parts
    assert part.view == Live("that was asked for")


def test_where_parts_are_read() -> None:
    volume = Mount(b"/srv", (254, 0), "xfs", b"/guests")
    parts = (
        Part(volume, LvmSnapshot(PLAIN, None), b"/"),
        Part(Mount(b"/srv/a/var", (0, 39), "btrfs"), BtrfsSnapshot(), b"/var"),
        Part(Mount(b"/srv/a/boot", (8, 2), "ext4"), Live(""), b"/boot"),
    )
    snapshots = Snapshots(Views(b"/srv/a", parts), "n1")
    assert [snapshots.place(part) for part in parts] == [
        b"/run/swarmstrap-n1/0/guests/a",
        b"/srv/a/var/.swarmstrap-n1",
        b"/srv/a/boot",
    ]


def test_nested_subvolumes() -> None:
    parts = (Part(BTRFS, BtrfsSnapshot(), b"/"), Part(HOME, BtrfsSnapshot(), b"/home"))
    said = b"""0:ID 260 gen 9 top level 256 path @/var/lib/machines
1:ID 261 gen 9 top level 257 path @home/a b
9:ID 262 gen 9 top level 257 path of no part
==ready
"""
    assert list(Snapshots(Views(b"/", parts), "n1").nested(said)) == [
        b"/var/lib/machines",
        b"/home/a b",
    ]
    below = (Part(BTRFS, BtrfsSnapshot(), b"/"),)
    assert list(Snapshots(Views(b"/srv", below), "n1").nested(said)) == []


@pytest.fixture
def lvm(tmp_path: Path) -> Callable[[Mapping[str, str]], Path]:
    """Stand-ins for the programs of a snapshot, which note what they were asked, and then run
    the lines that a test gives them; gives the file of notes.
    """
    notes = tmp_path / "notes"
    # In place of the volume there is something else to mount.
    lines = {"mount": '/bin/mount -t tmpfs none "$6"', "umount": '/bin/umount "$1"'}

    def install(changed: Mapping[str, str]) -> Path:
        for name in ("lvcreate", "lvremove", "lvs", "mount", "umount", "udevadm"):
            does = (lines | dict(changed)).get(name, "")
            program = tmp_path / name
            program.write_text(f'#!/bin/sh\necho {name} "$@" >>{notes}\n{does}\n')
            program.chmod(0o755)
        return notes

    return install


SCRIPT = (
    Snapshots(
        Views(b"/", (Part(BOOT, Live(""), b"/"), Part(ROOT, LvmSnapshot(PLAIN, GiB), b"/x"))),
        "test",
    )
    .script()
    .encode()
)
TAKEN = [
    f"lvcreate -y -s -n swarmstrap-test-1 -L {GiB}b vg0/root",
    "mount -t ext4 -o ro /dev/vg0/swarmstrap-test-1 /run/swarmstrap-test/1",
]
UNMOUNTED = ["umount /run/swarmstrap-test/1"]
REMOVED = [
    "lvs vg0/swarmstrap-test-1",
    "udevadm settle --timeout=10",
    "lvremove -f -y vg0/swarmstrap-test-1",
]


@needs_root
def test_a_snapshot_goes_when_nobody_listens(
    tmp_path: Path, lvm: Callable[[Mapping[str, str]], Path]
) -> None:
    notes = lvm({})
    with conversation(["sh", "-s"], stdin=SCRIPT, env={"PATH": f"{tmp_path}:{PATH}"}) as talk:
        assert talk.hear(10) == b"==ready\n"
        assert notes.read_text().splitlines() == TAKEN
        assert talk.end(10).returncode == 0
    assert notes.read_text().splitlines() == TAKEN + UNMOUNTED + REMOVED
    assert not Path("/run/swarmstrap-test").exists()


@needs_root
def test_a_snapshot_that_is_still_read(
    tmp_path: Path, lvm: Callable[[Mapping[str, str]], Path]
) -> None:
    busy = tmp_path / "busy"
    busy.touch()
    notes = lvm({"umount": f'! rm {busy} 2>/dev/null || exit 32\n/bin/umount "$1"'})
    done = run(["sh"], timeout=20, stdin=SCRIPT, check=False, env={"PATH": f"{tmp_path}:{PATH}"})
    assert (done.returncode, done.stdout, done.stderr) == (0, "==ready\n", "")
    assert notes.read_text().splitlines() == TAKEN + 2 * UNMOUNTED + REMOVED
    assert not Path("/run/swarmstrap-test").exists()


@needs_root
def test_a_snapshot_that_cannot_be_mounted(
    tmp_path: Path, lvm: Callable[[Mapping[str, str]], Path]
) -> None:
    notes = lvm({"mount": "echo wrong superblock >&2; exit 32"})
    done = run(["sh"], timeout=20, stdin=SCRIPT, check=False, env={"PATH": f"{tmp_path}:{PATH}"})
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "wrong superblock\n")
    assert notes.read_text().splitlines() == TAKEN + REMOVED
    assert not Path("/run/swarmstrap-test").exists()
