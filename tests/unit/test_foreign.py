# SPDX-License-Identifier: GPL-2.0-or-later
"""What `wipe: ordinary` replaces, and what it calls the rest."""

import pytest

from swarmstrap.errors import Unplannable
from swarmstrap.foreign import check_wipe, everything, extraordinary
from swarmstrap.hardware import Disk, FoundPartition
from swarmstrap.layout import DiskLayout, Wipe
from swarmstrap.units import GiB


def disk(*signatures: str, name: str = "/dev/sda", types: tuple[str, ...] = ()) -> Disk:
    partitions = tuple(
        FoundPartition(number=number, start=number * GiB, size=GiB, type=kind)
        for number, kind in enumerate(types, start=1)
    )
    return Disk(name=name, size=100 * GiB, signatures=signatures, partitions=partitions)


@pytest.mark.parametrize(
    ("signature", "said"),
    [
        ("linux_raid_member (sda1, label host:0)", "a member of an MD array host:0 (sda1)"),
        ("ddf_raid_member (sda)", "a member of a firmware RAID (ddf) (sda)"),
        ("LVM2_member (sda2)", "a physical volume of LVM (sda2)"),
        ("zfs_member (sda1, label tank)", "a member of a ZFS pool tank (sda1)"),
        ("ceph_bluestore (sda)", "a Ceph OSD (sda)"),
        ("VMFS_volume_member (sda3)", "a member of a VMFS of VMware (sda3)"),
        ("crypto_LUKS (sda3)", "a LUKS volume (sda3)"),
        ("jbd (sda5)", "the journal of another filesystem (sda5)"),
        ("BitLocker (sda3)", "a BitLocker volume (sda3)"),
        ("ocfs2 (sda, label shared)", "a cluster filesystem shared (sda)"),
        ("several kinds of data (sda)", "several kinds of data (sda)"),
        ("unreadable data (sda1)", "data that cannot be read (sda1)"),
    ],
)
def test_what_is_not_ordinary(signature: str, said: str) -> None:
    assert list(extraordinary(disk("gpt 0a1b2c3d", signature))) == [said]


@pytest.mark.parametrize(
    "signature",
    ["gpt 0a1b2c3d", "dos 0badcafe", "ext4 (sda1, label root)", "ntfs (sda1)", "swap (sda2)"],
)
def test_what_is_ordinary(signature: str) -> None:
    found = disk(signature)
    assert not list(extraordinary(found))
    check_wipe(DiskLayout(id="system", wipe="ordinary"), found)
    with pytest.raises(Unplannable, match="only takes an empty disk") as caught:
        check_wipe(DiskLayout(id="system"), found)
    assert "`wipe: ordinary`" in caught.value.hint


def test_nobody_is_told_to_wipe_a_failing_disk() -> None:
    for wipe in ("empty-only", "ordinary"):
        with pytest.raises(Unplannable, match=r"sda holds .* \(sda\), and") as caught:
            check_wipe(DiskLayout(id="system", wipe=wipe), disk("unreadable data (sda)"))
        assert "replace the disk" in caught.value.hint


def test_a_type_tells_where_no_signature_does() -> None:
    found = disk("gpt 0a1b2c3d", types=("0fc63daf", "37AFFC90-EF7D-4E96-91C3-2D7AE055B174"))
    assert list(extraordinary(found)) == ["a GPFS disk (sda2)"]
    assert not list(extraordinary(found, kept=(2,)))


def test_partitions_of_a_disk_whose_name_ends_in_a_digit() -> None:
    found = disk("gpt x", "LVM2_member (nvme0n1p2)", name="/dev/nvme0n1", types=("x", "y"))
    assert list(extraordinary(found)) == ["a physical volume of LVM (nvme0n1p2)"]
    assert not list(extraordinary(found, kept=(2,)))


def test_everything_beside_what_is_kept() -> None:
    found = disk("gpt x", "ext4 (sda1)", "xfs (sda2)", types=("a", "b", "c"))
    assert list(everything(found, kept=(2,))) == ["ext4 (sda1)", "partition 3 (without a name)"]
    assert not list(everything(found, kept=(1, 2, 3)))


@pytest.mark.parametrize("wipe", ["empty-only", "ordinary"])
def test_an_own_table_and_a_word_for_anything(wipe: Wipe) -> None:
    found = disk("gpt x", "zfs_member (sda1)")
    check_wipe(DiskLayout(id="system", wipe="anything"), found)
    check_wipe(DiskLayout(id="system", wipe=wipe), found, own=True)
    with pytest.raises(Unplannable, match="a member of a ZFS pool") as caught:
        check_wipe(DiskLayout(id="system", wipe="ordinary"), found)
    assert "`wipe: anything`" in caught.value.hint
