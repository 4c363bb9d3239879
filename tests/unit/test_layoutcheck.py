# SPDX-License-Identifier: GPL-2.0-or-later
"""Layouts that no node could have, and the examples, which every reader copies from."""

from pathlib import Path

import msgspec
import pytest
import yaml

from swarmstrap.errors import BadInput
from swarmstrap.layout import Layout
from swarmstrap.layoutcheck import check_layout

EXAMPLES = sorted((Path(__file__).parents[2] / "docs/layouts").glob("*.yaml"))
ROOT = "{label: root, type: root, format: ext4, mount: /}"


def layout_of(*partitions: str, kernel_arguments: str = "") -> Layout:
    disk = {"id": "system", "partitions": [yaml.safe_load(text) for text in partitions]}
    return msgspec.convert({"disks": [disk], "kernel_arguments": kernel_arguments}, Layout)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example(path: Path) -> None:
    check_layout(msgspec.convert(yaml.safe_load(path.read_text()), Layout))


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 3


@pytest.mark.parametrize(
    ("partition", "says"),
    [
        ("{label: root, type: linux}", "label root is there twice"),
        ("{label: a/b, type: linux}", "not a label"),
        ("{label: x, type: linux, size: 1GiB, weight: 2}", "size fixes what"),
        ("{label: x, type: linux, size: 0MiB}", "a size is 0"),
        ("{label: x, type: linux, size: 5 apples}", "not a size: '5 apples'"),
        ("{label: x, type: linux, size: '512'}", "no unit in '512'"),
        ("{label: x, type: linux, size_max: '512'}", "no unit in '512'"),
        ("{label: x, type: linux, size_min: 2GiB, size_max: 1GiB}", "size_min is above size_max"),
        ("{label: x, type: linux, weight: -1}", "count from 0"),
        ("{label: x, type: linux, format: ext4, mount: var}", "cannot be used"),
        ("{label: x, type: linux, format: ext4, mount: /a/../b}", "cannot be used"),
        ("{label: x, type: linux, format: ext4, mount: '/a b'}", "cannot be used"),
        ("{label: x, type: linux, format: ext4, mount: /proc}", "no system starts"),
        ("{label: x, type: linux, format: ext4, mount: /run}", "no system starts"),
        ("{label: x, type: linux, format: ext4, mount: /etc}", "no system starts"),
        ("{label: x, type: linux, format: ext4, mount_options: 'a b'}", "without blanks"),
        ("{label: x, type: linux, mount: /x}", "needs format: ext4, xfs, btrfs or vfat"),
        ("{label: x, type: linux, format: swap}", "needs type: swap and format: swap"),
        ("{label: x, type: esp}", "needs format: vfat and mount: /boot/efi"),
        ("{label: x, type: esp, format: ext4, mount: /boot/efi}", "needs format: vfat"),
        ("{label: x, type: bios-boot, format: ext4}", "needs no format"),
        ("{label: bios-boot, type: linux}", "label that is taken"),
        ("{label: x, type: linux, format: ext4, mount: /}", "mount / is there twice"),
    ],
)
def test_partition(partition: str, says: str) -> None:
    with pytest.raises(BadInput) as caught:
        check_layout(layout_of(ROOT, partition))
    assert says in str(caught.value)


def test_mounts_below_run_and_etc_are_made_at_a_start() -> None:
    for place in ("/run/media", "/etc/keys"):
        check_layout(layout_of(ROOT, f"{{label: x, type: linux, format: ext4, mount: {place}}}"))


def test_shares_of_more_than_all() -> None:
    halves = ["{label: a, type: linux, size: 50%}", "{label: b, type: linux, size_min: 50%}"]
    check_layout(layout_of(ROOT, *halves))
    check_layout(layout_of(ROOT, *halves, "{label: c, type: linux, size: 1%, priority: 1}"))
    check_layout(layout_of(ROOT, *halves, "{label: c, type: linux, size_max: 1%}"))
    check_layout(layout_of(ROOT, *halves, "{label: c, type: linux, size: 1%, preserve: true}"))
    with pytest.raises(BadInput, match="disk system: shares of 50%, 50%, 1% are more than there"):
        check_layout(layout_of(ROOT, *halves, "{label: c, type: linux, size: 1%}"))


def test_an_error_names_disk_and_partition() -> None:
    with pytest.raises(BadInput, match="disk system: partition swap: is mounted at /s"):
        check_layout(layout_of(ROOT, "{label: swap, type: swap, mount: /s}"))


@pytest.mark.parametrize(
    ("partition", "says"),
    [
        ("{label: x, type: linux}", "nothing is mounted at /"),
        ("{label: x, type: root, format: vfat, mount: /}", "holds / on vfat"),
        ("{label: x, type: root, format: xfs, mount: /, priority: 1}", "may be dropped"),
    ],
)
def test_root(partition: str, says: str) -> None:
    with pytest.raises(BadInput) as caught:
        check_layout(layout_of(partition))
    assert says in str(caught.value)


@pytest.mark.parametrize("arguments", ["a;b", "a\nb", "$(x)", "a'b", 'a"b', "{a}", "a\\b", "a|b"])
def test_kernel_arguments_that_a_boot_loader_would_interpret(arguments: str) -> None:
    with pytest.raises(BadInput, match="would interpret"):
        check_layout(layout_of(ROOT, kernel_arguments=arguments))


def disks_of(text: str) -> Layout:
    return msgspec.convert(yaml.safe_load(text), Layout)


@pytest.mark.parametrize(
    ("layout", "says"),
    [
        ("disks: [{id: a}, {id: b}]", "disks: 2 without partitions"),
        ("disks: []", "disks: 0 without partitions"),
        ("{disks: [{id: a}], kernel_arguments: quiet}", "a disk image has its own"),
        ("{disks: [{id: a}], bootloader: grub}", "bootloader: a disk image has its own"),
        (f"disks: [{{id: a, partitions: [{ROOT}]}}, {{id: b}}]", "disk b: no partitions"),
        (f"disks: [{{id: a, grow: true, partitions: [{ROOT}]}}]", "are for disk images"),
        (f"disks: [{{id: a, unused: keep, partitions: [{ROOT}]}}]", "are for disk images"),
        ("{disks: [{id: a, count: 2}]}", "count: a disk image has its own"),
        ("{disks: [{id: a}], raid: [{name: x, level: 1, devices: [a]}]}", "raid: a disk image"),
    ],
)
def test_a_layout_is_for_one_disk_image_or_for_a_tree(layout: str, says: str) -> None:
    with pytest.raises(BadInput) as caught:
        check_layout(disks_of(layout))
    assert says in str(caught.value)


ESP = "{label: ESP, type: esp, mount: /boot/efi}"
LINUX = "{label: %s, type: linux}"


@pytest.mark.parametrize(
    ("layout", "says"),
    [
        (
            f"disks: [{{id: a, ptable: msdos, partitions: [{ROOT}, "
            f"{', '.join(LINUX % label for label in 'bcde')}]}}]",
            "disk a: 5 partitions (write 4 at most)",
        ),
        (
            f"disks: [{{id: a, ptable: msdos, partitions: [{ROOT}, "
            "{label: b, type: bios-boot}]}]",
            "is for GRUB on a GPT",
        ),
        (
            f"disks: [{{id: a, partitions: [{ROOT}, {ESP}, {ESP.replace('ESP', 'E2', 1)}]}}]",
            "disk a: two partitions of type esp",
        ),
        (
            f"disks: [{{id: a, partitions: [{ROOT}, {ESP}]}}, "
            f"{{id: b, partitions: [{ESP.replace('/boot/efi', '/efi')}]}}]",
            "ESPs are mounted at /boot/efi and /efi",
        ),
        (
            f"disks: [{{id: a, partitions: [{ROOT}, "
            "{label: e, type: linux, format: vfat, mount: /boot/efi}]}]",
            "partition e: is mounted at /boot/efi (such a one needs to be a partition of type esp)",
        ),
        (
            f"disks: [{{id: a, count: 2, partitions: [{ROOT}]}}]",
            "partition root: is mounted, and on 2 disks",
        ),
        (f"disks: [{{id: a, count: -1, partitions: [{ROOT}]}}]", "disk a: count: -1"),
    ],
)
def test_disk(layout: str, says: str) -> None:
    with pytest.raises(BadInput) as caught:
        check_layout(disks_of(layout))
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("partition", "says"),
    [
        (ROOT.replace("mount: /", "mount: /, preserve: true"), "every deployment writes it"),
        (ESP.replace("mount:", "preserve: true, mount:"), "every deployment writes it"),
        (
            "{label: b, type: linux, format: ext4, mount: /boot, preserve: true}",
            "every deployment writes it",
        ),
        ("{label: b, type: home, priority: 1, preserve: true}", "is to be preserved and may be"),
    ],
)
def test_what_cannot_be_preserved(partition: str, says: str) -> None:
    root = "" if "mount: /," in partition else f", {ROOT}"
    with pytest.raises(BadInput) as caught:
        check_layout(disks_of(f"disks: [{{id: a, partitions: [{partition}{root}]}}]"))
    assert says in str(caught.value)


def test_esps_of_several_disks_stand_in_for_each_other() -> None:
    both = f"disks: [{{id: a, partitions: [{ROOT}, {ESP}]}}, {{id: b, partitions: [{ESP}]}}]"
    check_layout(disks_of(both))


def test_an_id_is_none_of_those_that_disks_get_that_are_alike() -> None:
    """UUIDs are derived from it."""
    swap = "{label: swap, type: swap}"
    alike = f"{{id: data, count: 2, partitions: [{swap}]}}"
    for other in ("data-a", "data-0", "data-02", "data-3"):
        check_layout(disks_of(f"disks: [{alike}, {{id: {other}, partitions: [{ROOT}]}}]"))
    numbered = alike.replace("id: data", "id: data-2")
    check_layout(disks_of(f"disks: [{alike}, {numbered}, {{id: a, partitions: [{ROOT}]}}]"))
    with pytest.raises(BadInput, match="data-2 is that of one of the 2 disks of data"):
        check_layout(disks_of(f"disks: [{alike}, {{id: data-2, partitions: [{ROOT}]}}]"))


def test_a_partition_of_raid_that_is_preserved_needs_no_array() -> None:
    kept = "{label: leg, type: raid, preserve: true}"
    check_layout(disks_of(f"disks: [{{id: a, partitions: [{ROOT}, {kept}]}}]"))


def test_a_layout_for_a_disk_image() -> None:
    check_layout(disks_of("disks: [{id: a, match: {size: '>= 1GiB'}, unused: zero, grow: false}]"))
