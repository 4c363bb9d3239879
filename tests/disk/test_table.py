# SPDX-License-Identifier: GPL-2.0-or-later
"""Partition tables and wiping, on image files without root and on loop devices with it."""

import fcntl
import os
import struct
import subprocess
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.disk.conftest import unmount

from swarmstrap.effects.disks import claim, disk
from swarmstrap.errors import StepFailed
from swarmstrap.steps.storage import WritePartitionTable
from swarmstrap.tables import ROOT_GUIDS, TYPE_GUIDS, sgdisk_arguments
from swarmstrap.units import GiB, MiB
from swarmstrap.volumes import DiskId, PlannedPartition

Sparse = Callable[[int], Path]
Attach = Callable[[Path, int], str]


def table(size: int, sector: int = 512, root_size: int = 512 * MiB) -> WritePartitionTable:
    return WritePartitionTable(
        DiskId("/dev/vda", size, "x", "", "", sector),
        "11111111-2222-5333-8444-555555555555",
        (
            PlannedPartition(1, "bios-boot", "bios-boot", MiB, MiB, str(uuid.UUID(int=1))),
            PlannedPartition(2, "ESP", "esp", 2 * MiB, 64 * MiB, str(uuid.UUID(int=2))),
            PlannedPartition(3, "root", "root", 66 * MiB, root_size, str(uuid.UUID(int=3))),
        ),
        "gpt",
    )


def read_gpt(path: str | Path, sector: int) -> tuple[str, list[tuple[str, str, str, int, int]]]:
    """Disk GUID and (name, type, GUID, start, size) of each entry, as UEFI 2.10, 5.3 lays out."""
    with open(path, "rb") as file:
        file.seek(sector)
        header = file.read(92)
        assert header[:8] == b"EFI PART"
        disk_guid = str(uuid.UUID(bytes_le=header[56:72]))
        first, count, width = struct.unpack("<QII", header[72:88])
        file.seek(first * sector)
        entries = []
        for _ in range(count):
            entry = file.read(width)
            kind, guid = (str(uuid.UUID(bytes_le=entry[i : i + 16])) for i in (0, 16))
            start, last = struct.unpack("<QQ", entry[32:48])
            name = entry[56:128].decode("utf-16-le").rstrip("\0")
            if start:
                size = (last - start + 1) * sector
                entries.append((name, kind, guid, start * sector, size))
    return disk_guid, entries


def expected(step: WritePartitionTable) -> tuple[str, list[tuple[str, str, str, int, int]]]:
    kinds = {**TYPE_GUIDS, "root": ROOT_GUIDS[os.uname().machine]}
    return step.uuid, [(p.label, kinds[p.type], p.uuid, p.start, p.size) for p in step.partitions]


def test_table_on_a_file(sparse: Sparse) -> None:
    path, step = sparse(2 * GiB), table(2 * GiB)
    disk.write_table_to(str(path), step)
    assert read_gpt(path, 512) == expected(step)
    verified = subprocess.check_output(["sgdisk", "--verify", path], text=True)
    assert "No problems found" in verified


def test_writing_it_again_gives_the_same_bytes(sparse: Sparse) -> None:
    path, step = sparse(160 * MiB), table(160 * MiB, root_size=64 * MiB)
    disk.write_table_to(str(path), step)
    once = path.read_bytes()
    disk.write_table_to(str(path), step)
    assert path.read_bytes() == once


@pytest.mark.parametrize("sector", [512, 4096])
def test_table_on_a_device(sector: int, sparse: Sparse, attach: Attach) -> None:
    node = attach(sparse(2 * GiB), sector)
    step = table(2 * GiB, sector)
    disk.wipe_node(node)
    disk.write_table_to(node, step)
    assert read_gpt(node, sector) == expected(step)
    verified = subprocess.check_output(["sgdisk", "--verify", node], text=True)
    assert "No problems found" in verified


def test_a_table_that_came_out_otherwise_is_noticed(
    sparse: Sparse, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = sparse(2 * GiB)
    other = sgdisk_arguments(table(2 * GiB, root_size=513 * MiB), str(path), "x86_64")
    monkeypatch.setattr(disk, "sgdisk_arguments", lambda *_: other)
    with pytest.raises(StepFailed, match="is not the planned one"):
        disk.write_table_to(str(path), table(2 * GiB))


def test_a_disk_too_small_for_the_table(sparse: Sparse) -> None:
    with pytest.raises(StepFailed, match="sgdisk ended with status"):
        disk.write_table_to(str(sparse(128 * MiB)), table(128 * MiB))


def mbr(size: int, sector: int = 512) -> WritePartitionTable:
    return WritePartitionTable(
        DiskId("/dev/vda", size, "x", "", "", sector),
        "0badcafe",
        (
            PlannedPartition(1, "boot", "linux", MiB, 64 * MiB, "0badcafe-01"),
            PlannedPartition(2, "leg", "raid", 65 * MiB, 64 * MiB, "0badcafe-02"),
            PlannedPartition(4, "swap", "swap", 200 * MiB, 56 * MiB, "0badcafe-04"),
        ),
        "msdos",
        active=1,
    )


def read_mbr(path: str | Path) -> tuple[str, list[tuple[int, int, int, int]]]:
    """Disk id and (status, type, first, count) of the four entries, in sectors (UEFI 2.10, 5.2)."""
    with open(path, "rb") as file:
        sector = file.read(512)
    assert sector[510:] == b"\x55\xaa"
    entries = [struct.unpack("<B3xB3xII", sector[at : at + 16]) for at in range(446, 510, 16)]
    return f"{struct.unpack('<I', sector[440:444])[0]:08x}", entries


@pytest.mark.parametrize("sector", [512, 4096])
def test_mbr(sector: int, sparse: Sparse, attach: Attach) -> None:
    node = attach(sparse(2 * GiB), sector)
    disk.write_table_to(node, mbr(2 * GiB, sector))
    unit = MiB // sector
    assert read_mbr(node) == (
        "0badcafe",
        [
            (0x80, 0x83, unit, 64 * unit),
            (0, 0xFD, 65 * unit, 64 * unit),
            (0, 0, 0, 0),
            (0, 0x82, 200 * unit, 56 * unit),
        ],
    )


def test_an_mbr_takes_the_place_of_a_gpt_that_was_wiped(sparse: Sparse) -> None:
    path = sparse(GiB)
    disk.write_table_to(str(path), table(GiB))
    disk.wipe_node(str(path))
    disk.write_table_to(str(path), mbr(GiB))
    assert signatures(path) == {"dos"}


def changed(step: WritePartitionTable, kept: int) -> WritePartitionTable:
    """As when a layout preserves one partition: the others are all different."""
    old = next(part for part in step.partitions if part.number == kept)
    new = PlannedPartition(1, "new", "linux", MiB, MiB, str(uuid.UUID(int=7)))
    return replace(step, partitions=(new, old), kept=(kept,), uuid=str(uuid.UUID(int=8)))


def test_a_partition_that_is_kept_keeps_its_entry(sparse: Sparse) -> None:
    path, first = sparse(2 * GiB), table(2 * GiB)
    disk.write_table_to(str(path), first)
    step = changed(first, kept=3)
    disk.write_table_to(str(path), step)
    assert read_gpt(path, 512) == expected(step)
    assert read_gpt(path, 512)[1][-1] == expected(first)[1][-1]


def test_nothing_of_an_older_table_is_in_a_new_partition(sparse: Sparse) -> None:
    """Nor is anything written to one that is kept."""
    path = sparse(GiB)
    disk.write_table_to(str(path), table(GiB))
    _, esp, root = table(GiB).partitions
    ends = [place for part in (esp, root) for place in (part.start, part.start + part.size - 8)]
    with path.open("r+b") as file:
        for place in ends:
            os.pwrite(file.fileno(), b"metadata", place)
        disk.write_table_to(str(path), replace(table(GiB), kept=(esp.number,)))
        found = [os.pread(file.fileno(), 8, place) for place in ends]
    assert found == [b"metadata", b"metadata", bytes(8), bytes(8)]


def test_a_partition_that_is_kept_is_not_where_it_was(sparse: Sparse) -> None:
    path, first = sparse(2 * GiB), table(2 * GiB)
    disk.write_table_to(str(path), first)
    before = beginning(path)
    moved = table(2 * GiB, root_size=513 * MiB)
    with pytest.raises(StepFailed, match="is not the planned one"):
        disk.write_table_to(str(path), changed(moved, kept=3))
    assert beginning(path) == before, "nothing was written"


def beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(2 * MiB)


def test_what_is_wiped_beside_what_is_kept(tmp_path: Path) -> None:
    parts = []
    for number, start, size in ((1, 2048, 2048), (2, 4096, 131072), (3, 135168, 1048576)):
        part = tmp_path / f"vda{number}"
        part.mkdir()
        for name, value in (("partition", number), ("start", start), ("size", size)):
            (part / name).write_text(f"{value}\n")
        parts.append(part)
    esp, root = table(2 * GiB).partitions[1:]
    assert disk.beside("/dev/vda", parts, [root]) == parts[:2]
    assert disk.beside("/dev/vda", parts, [esp, root]) == parts[:1]
    with pytest.raises(StepFailed, match="partition 3 of /dev/vda, which is to stay, is not"):
        disk.beside("/dev/vda", parts, [replace(root, size=MiB)])
    with pytest.raises(StepFailed, match="partition 2 of /dev/vda"):
        disk.beside("/dev/vda", parts[::2], [esp])
    (parts[0] / "size").write_text("2049\n")
    with pytest.raises(StepFailed, match="or another reaches into it"):
        disk.beside("/dev/vda", parts, [esp])


def signatures(path: Path) -> set[str]:
    command = ["wipefs", "--noheadings", "--output=TYPE", str(path)]
    return set(subprocess.check_output(command, text=True).split())


def test_wipe_leaves_no_signature(sparse: Sparse) -> None:
    path = sparse(GiB)
    subprocess.run(["mkfs.ext4", "-q", "-F", path], check=True)
    assert signatures(path) == {"ext4"}
    disk.wipe_node(str(path))
    assert signatures(path) == set()
    disk.write_table_to(str(path), table(GiB))
    assert signatures(path) == {"gpt", "PMBR"}
    disk.wipe_node(str(path))
    assert signatures(path) == set()
    with path.open("rb") as file:
        assert file.read(MiB) == bytes(MiB)
        file.seek(-MiB, os.SEEK_END)
        assert file.read(MiB) == bytes(MiB)
    assert path.stat().st_size == GiB


def test_wipe_reaches_the_ends_of_partitions(sparse: Sparse, attach: Attach) -> None:
    """Metadata of LVM and ZFS come back with a table like the old one."""
    node, start, size = attach(sparse(160 * MiB), 512), 16 * MiB, 64 * MiB
    # The kernel is told: it may know no partition tables.
    subprocess.run(["addpart", node, "1", str(start // 512), str(size // 512)], check=True)
    ends = (start, start + size - 4096)
    with open(node, "r+b") as device:
        for place in (*ends, start + 2 * MiB):
            device.seek(place)
            device.write(b"metadata")
    disk.wipe_node(node)
    with open(node, "rb") as device:
        for place in ends:
            device.seek(place)
            assert device.read(8) == bytes(8)
        device.seek(start + 2 * MiB)
        assert device.read(8) == b"metadata"


def test_wipe_of_a_mounted_disk_is_refused(sparse: Sparse, attach: Attach, tmp_path: Path) -> None:
    path = sparse(256 * MiB)
    subprocess.run(["mkfs.ext4", "-q", "-F", path], check=True)
    node, point = attach(path, 512), tmp_path / "mounted"
    point.mkdir()
    subprocess.run(["mount", node, point], check=True)
    try:
        with pytest.raises(StepFailed, match=f"cannot take {node} for writing: it is in use"):
            disk.wipe_node(node)
        with pytest.raises(StepFailed, match="it is in use"):
            disk.write_table_to(node, table(256 * MiB))
    finally:
        unmount(point, node)
    subprocess.run(["e2fsck", "-fn", node], check=True, capture_output=True)


def test_a_lock_that_never_goes_away(sparse: Sparse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claim, "BUSY_SECONDS", 0.2)
    path = sparse(MiB)
    with path.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_SH)
        with pytest.raises(StepFailed, match=r"cannot lock .*: in use for 0 s"):
            disk.wipe_node(str(path))


def test_no_such_disk() -> None:
    with pytest.raises(StepFailed, match="cannot take /dev/nothing for writing: No such file"):
        disk.wipe_node("/dev/nothing")
