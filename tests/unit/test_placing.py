# SPDX-License-Identifier: GPL-2.0-or-later
"""What a second deployment makes of the disk that a first one wrote, for any layout and disk."""

from itertools import pairwise

from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import replace

from swarmstrap.hardware import Disk, FoundPartition
from swarmstrap.layout import DiskLayout, Format, Layout, Partition, Table, Wipe
from swarmstrap.layoutcheck import check_layout
from swarmstrap.placing import Identity, PlacedDisk, place_disks
from swarmstrap.tables import MBR_TYPES, ROOT_GUIDS, TYPE_GUIDS
from swarmstrap.units import GiB, MiB

FIRST, SECOND = Identity("first", "node7"), Identity("second", "node7")
ROOT = Partition(label="root", type="root", format="ext4", mount="/", size_min="1GiB")
FORMATS: tuple[Format | None, ...] = (None, "ext4", "xfs")


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    table: Table = draw(st.sampled_from(["gpt", "msdos"]))
    others = [
        Partition(
            label=f"p{number}",
            type=draw(st.sampled_from(["linux", "home", "var", "srv"])),
            format=draw(st.sampled_from(FORMATS)),
            size=draw(st.sampled_from(["", "", "64MiB", "5%"])),
            priority=draw(st.integers(0, 2)),
        )
        for number in range(draw(st.integers(0, 3)))
    ]
    place = draw(st.integers(0, len(others)))
    partitions = (*others[:place], ROOT, *others[place:])
    layout = Layout(disks=(DiskLayout(id="system", ptable=table, partitions=partitions),))
    check_layout(layout)
    return layout


DISKS = st.builds(
    Disk,
    name=st.just("/dev/nvme0n1"),
    size=st.integers(4 * GiB, 5000 * GiB),
    serial=st.just("x"),
    logical_sector=st.sampled_from([512, 4096]),
    optimal_io=st.sampled_from([0, 768 * 1024, 4 * MiB]),
)


def written(disk: Disk, placed: PlacedDisk) -> Disk:
    """The inventory's disk once the plan was carried out."""
    gpt = placed.table == "gpt"
    guids = {**TYPE_GUIDS, "root": ROOT_GUIDS["x86_64"]}
    partitions = tuple(
        FoundPartition(
            number=part.number,
            start=part.start,
            size=part.size,
            type=guids[part.type] if gpt else hex(MBR_TYPES.get(part.type, 0x83)),
            uuid=part.uuid,
            name=part.label if gpt else "",
            filesystem=volume.format or "",
            filesystem_uuid=volume.uuid if volume.format else "",
            label=volume.label if volume.format else "",
        )
        for part, volume in zip(placed.partitions, placed.volumes, strict=True)
    )
    signature = f"{'gpt' if gpt else 'dos'} {placed.uuid}"
    return replace(disk, signatures=(signature,), partitions=partitions)


def place(layout: Layout, disk: Disk, identity: Identity) -> PlacedDisk:
    (placed,) = place_disks(layout, [disk], identity)
    return placed


def preserving(layout: Layout, label: str, wipe: Wipe) -> Layout:
    (entry,) = layout.disks
    partitions = tuple(
        replace(p, preserve=p.label == label, priority=0 if p.label == label else p.priority)
        for p in entry.partitions
    )
    return replace(layout, disks=(replace(entry, partitions=partitions, wipe=wipe),))


@given(layouts(), DISKS)
def test_a_table_that_is_there_is_the_one_that_is_planned(layout: Layout, disk: Disk) -> None:
    first = place(layout, disk, FIRST)
    assert not first.present
    again = place(layout, written(disk, first), FIRST)
    assert again.present
    assert again.partitions == first.partitions
    other = place(preserving(layout, "", "ordinary"), written(disk, first), SECOND)
    assert not other.present
    uuids = {part.uuid for part in first.partitions}
    assert uuids.isdisjoint(part.uuid for part in other.partitions)


@given(st.data(), layouts(), DISKS)
def test_what_is_preserved_stays_to_the_byte(
    data: st.DataObject, layout: Layout, disk: Disk
) -> None:
    first = place(layout, disk, FIRST)
    there = written(disk, first)
    labelled = [v for v in first.volumes if v.label != "root" and v.type != "bios-boot"]
    # In an MBR only a filesystem has a label to be found by.
    able = [v.label for v in labelled if first.table == "gpt" or v.format]
    assume(able)
    label = data.draw(st.sampled_from(able))
    second = place(preserving(layout, label, "ordinary"), there, SECOND)
    (kept,) = second.kept
    (before,) = (part for part in first.partitions if part.label == label)
    assert (kept.number, kept.start, kept.size) == (before.number, before.start, before.size)
    (volume,) = (volume for volume in second.volumes if volume.preserved)
    (found,) = (part for part in there.partitions if part.number == kept.number)
    assert volume.uuid == found.filesystem_uuid
    if second.table == "gpt":
        assert kept.uuid == before.uuid
    in_order = sorted(second.partitions, key=lambda part: part.start)
    assert len({part.number for part in in_order}) == len(in_order)
    for left, right in pairwise(in_order):
        assert left.start + left.size <= right.start
