# SPDX-License-Identifier: GPL-2.0-or-later
"""Whatever is planned can be made: for any sizes and disks, or the plan is refused."""

from collections import Counter

from hypothesis import event, given
from hypothesis import strategies as st

from swarmstrap import volumes
from swarmstrap.errors import Unplannable
from swarmstrap.hardware import Disk
from swarmstrap.layout import (
    DiskLayout,
    Format,
    Layout,
    LogicalVolume,
    Luks,
    Partition,
    Raid,
    VolumeGroup,
)
from swarmstrap.layoutcheck import check_layout
from swarmstrap.placing import Identity, PlacedVolume, place_disks
from swarmstrap.stacking import EXTENT, Placed, stack
from swarmstrap.steps.storage import MakeGroup, MakeLogical
from swarmstrap.units import GiB, MiB

FORMATS: tuple[Format, ...] = ("ext4", "xfs", "btrfs")
# What the programs make, tried with xfsprogs 6.1, btrfs-progs 6.2 and dosfstools 4.2.
LEAST = {"ext4": MiB, "xfs": 300 * MiB, "btrfs": 109 * MiB}
LEAST_VFAT = {512: 9 * MiB, 4096: 64 * MiB}
LEAST_STRIPED_XFS = 520 * MiB
SIZES = st.sampled_from(["", "30%"]) | st.sampled_from([1, 20, 120, 310, 500, 700]).map(
    "{}MiB".format
)


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    """A mirror and a LUKS volume, with a group on both, and an ESP on both disks."""
    esp = Partition(label="ESP", type="esp", size=draw(SIZES), mount="/boot/efi")
    pair = (
        esp,
        Partition(label="root", type="raid", size=draw(SIZES)),
        Partition(label="leg", type="raid", size=draw(SIZES)),
    )
    sealed = Partition(label="sealed", type="luks", size=draw(SIZES))
    logical = tuple(
        LogicalVolume(name=name, size=draw(SIZES), format=draw(st.sampled_from(FORMATS)))
        for name in ("a", "b")
    )
    return Layout(
        disks=(
            DiskLayout(id="pair", match={"tran": "nvme"}, count=2, partitions=pair),
            DiskLayout(id="single", match={"tran": "sata"}, partitions=(esp, sealed)),
        ),
        raid=(
            Raid(name="root", level=1, devices=("root",), format="ext4", mount="/"),
            Raid(name="legs", level=0, devices=("leg",)),
        ),
        luks=(Luks(name="opened", device="sealed"),),
        volume_groups=(VolumeGroup(name="vg", devices=("legs", "opened"), volumes=logical),),
    )


@st.composite
def machines(draw: st.DrawFn) -> tuple[Disk, ...]:
    sectors = st.sampled_from([512, 512, 512, 4096])
    sizes = st.integers(4 * GiB // 4096, 9 * GiB // 4096).map(lambda count: count * 4096)
    return tuple(
        Disk(
            name=f"/dev/{name}",
            size=draw(sizes),
            logical_sector=draw(sectors),
            serial=name,
            tran=tran,
        )
        for name, tran in (("nvme0n1", "nvme"), ("nvme1n1", "nvme"), ("sda", "sata"))
    )


@given(layout=layouts(), disks=machines())
def test_what_is_planned_can_be_made(layout: Layout, disks: tuple[Disk, ...]) -> None:
    check_layout(layout)
    identity = Identity("first", "node7")
    try:
        placed = stack(layout, place_disks(layout, disks, identity), identity)
    except Unplannable as error:
        event(error.message.partition(" ")[0])
        return
    event("planned")
    for volume in placed.volumes:
        assert volume.size > 0
        assert not volume.format or volume.size >= _least(volume, volume.format)
    uuids = Counter(volume.uuid for volume in placed.volumes if volume.format)
    uuids += Counter(part.uuid for disk in placed.disks for part in disk.partitions)
    assert max(uuids.values()) == 1
    mounted = Counter(mount.target for volume in placed.volumes for mount in volume.mounts)
    assert mounted == {"/": 1, "/boot/efi": 1}
    _check_group(placed)


def _least(placed: PlacedVolume, form: Format) -> int:
    """Volumes of the group lie on an array of level 0."""
    if form == "vfat":
        return LEAST_VFAT[placed.sector]
    striped = isinstance(placed.volume, volumes.LogicalVolume)
    return LEAST_STRIPED_XFS if form == "xfs" and striped else LEAST[form]


def _check_group(placed: Placed) -> None:
    """Its devices have the same sectors, and room for its volumes."""
    rooms = {volume.volume: volume for volume in placed.volumes}
    group = next(step for step in placed.making if isinstance(step, MakeGroup))
    below = [rooms[device] for device in group.devices]
    taken = sum(step.size for step in placed.making if isinstance(step, MakeLogical))
    assert taken <= sum((volume.size - MiB) // EXTENT * EXTENT for volume in below)
    assert len({volume.sector for volume in below}) == 1
