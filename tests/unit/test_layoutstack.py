# SPDX-License-Identifier: GPL-2.0-or-later
"""Arrays, LUKS volumes and volume groups that no node could have, and some that many have."""

import msgspec
import pytest
import yaml

from swarmstrap.errors import BadInput
from swarmstrap.layout import Layout
from swarmstrap.layoutcheck import check_layout


def layout(text: str) -> Layout:
    return msgspec.convert(yaml.safe_load(text), Layout)


MIRROR = """
disks:
- id: system
  count: 2
  match: {tran: nvme}
  partitions:
  - {label: ESP, type: esp, size: 512MiB, mount: /boot/efi}
  - {label: mirror, type: raid}
"""
MIRRORED = f"{MIRROR}raid: [{{name: root, level: 1, devices: [mirror], format: ext4, mount: /}}]"
LVM_ON_RAID = f"""{MIRROR}
raid: [{{name: disks, level: 1, devices: [mirror]}}]
volume_groups:
- name: vg
  devices: [disks]
  pools: [{{name: thin, size: 50%}}]
  volumes:
  - {{name: root, size_min: 4GiB, format: xfs, mount: /}}
  - {{name: home, size: 1TiB, pool: thin, format: xfs, mount: /home}}
"""
ENCRYPTED = """
disks:
- id: system
  partitions:
  - {label: ESP, type: esp, size: 512MiB, mount: /boot/efi}
  - {label: boot, type: linux, size: 1GiB, format: ext4, mount: /boot}
  - {label: locked, type: luks}
luks: [{name: opened, device: locked}]
volume_groups:
- name: vg
  devices: [opened]
  volumes: [{name: root, weight: 3, format: ext4, mount: /}, {name: swap, size: 5%, format: swap}]
"""
SUBVOLUMES = """
disks:
- id: system
  partitions:
  - {label: ESP, type: esp, size: 512MiB, mount: /boot/efi}
  - label: root
    type: root
    format: btrfs
    subvolumes: [{name: "@", mount: /}, {name: "@home", mount: /home}, {name: "@snapshots"}]
"""
FOUR = """
disks:
- {id: a, match: {serial: a}, partitions: [
    {label: root, type: root, size: 4GiB, format: ext4, mount: /},
    {label: leg, type: raid}, {label: other, type: raid}]}
- {id: b, match: {serial: b}, partitions: [{label: leg, type: raid}, {label: other, type: raid}]}
"""


# Names may be those of the partitions, and volumes of a group may be encrypted one by one.
NAMED_ALIKE = MIRRORED.replace("name: root", "name: mirror")
LOCKED_VOLUME = LVM_ON_RAID.replace(
    "{name: home, size: 1TiB, pool: thin, format: xfs, mount: /home}", "{name: home, size: 1GiB}"
).replace("volume_groups:", "luks: [{name: home, device: vg/home, format: xfs}]\nvolume_groups:")


@pytest.mark.parametrize(
    "text", [MIRRORED, LVM_ON_RAID, ENCRYPTED, SUBVOLUMES, NAMED_ALIKE, LOCKED_VOLUME]
)
def test_layouts_that_many_have(text: str) -> None:
    check_layout(layout(text))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            MIRRORED.replace("[mirror]", "[leg]").replace(
                "type: raid}", "type: raid}\n  - {label: leg, type: raid}"
            ),
            "partition mirror: is of type raid, and nothing is made of it",
        ),
        (MIRRORED.replace("[mirror]", "[mirro]"), "raid root: device mirro is not there (did you "),
        (MIRRORED.replace("[mirror]", "[]"), "raid root: devices: none"),
        (MIRRORED.replace("[mirror]", "[ESP]"), "partition ESP is of type esp"),
        (MIRRORED.replace("level: 1", "level: 5"), "level 5 on 2 devices (list 3 at least"),
        (MIRRORED.replace("count: 2", "count: 1"), "level 1 on 1 devices"),
        (MIRRORED.replace("count: 2", "count: 0"), "disk system: count: 0"),
        (MIRRORED.replace("level: 1", "level: 1, spares: 1"), "level 1 on 1 devices"),
        (MIRRORED.replace("level: 1", "level: 0, spares: 1"), "needs none of them"),
        (MIRRORED.replace("name: root", "name: '0'"), "raid 0: not the name of an array"),
        (MIRRORED.replace("type: raid", "type: raid, priority: 3"), "mirror may be dropped"),
        (MIRRORED.replace("type: raid", "type: raid, preserve: true"), "to be preserved"),
        (MIRRORED.replace("type: raid", "type: raid, format: ext4"), "and holds a filesystem"),
        (MIRRORED.replace("format: ext4, mount: /}", "}"), "nothing is mounted at /"),
        (
            LVM_ON_RAID.replace("disks]", "mirror]").replace("name: disks", "name: mirror"),
            "device mirror is a partition, and also what is made of one",
        ),
        (
            MIRRORED.replace("name: root", "name: mirror").replace("ext4, mount: /}", "ext4}"),
            "nothing is mounted at /",
        ),
        (
            ENCRYPTED.replace("device: locked", "device: vg/swap")
            .replace("type: luks", "type: linux")
            .replace(", format: swap", ""),
            "luks opened lies on itself",
        ),
        (MIRRORED.replace("type: raid", "type: linux, format: xfs, mount: /srv"), "on 2 disks"),
        (MIRRORED.replace("format: ext4", "format: vfat"), "raid root: holds / on vfat"),
        (LVM_ON_RAID.replace("[disks]", "[thin]"), "volume group vg: device thin is not there"),
        (LVM_ON_RAID.replace("pool: thin", "pool: fat"), "volume home: pool fat is not there"),
        (LVM_ON_RAID.replace("size: 1TiB", "size: 50%"), "volume home: is taken from pool thin"),
        (LVM_ON_RAID.replace("name: home", "name: root"), "volume root is there twice"),
        (LVM_ON_RAID.replace("size_min: 4GiB", "size_min: 51%"), "vg: shares of 50%, 51% are more"),
        (LVM_ON_RAID.replace("name: home", "name: home_tdata"), "not a name that LVM gives"),
        (LVM_ON_RAID.replace("name: vg", "name: mapper"), "not a name that LVM gives a group"),
        (LVM_ON_RAID.replace("size: 50%", "size: 500%"), "pool thin: not a share: '500%'"),
        (
            LVM_ON_RAID.replace("size_min: 4GiB", "size: 4GiB, pool: thin"),
            "volume root: is thin and holds /boot",
        ),
        (ENCRYPTED.replace("mount: /boot}", "mount: /srv}"), "root: is encrypted and holds /boot"),
        (ENCRYPTED.replace("locked}]", "locked, tpm2_pcrs: [7]}]"), "needs `key: tpm2`"),
        (
            ENCRYPTED.replace("locked}]", "locked, key: tpm2, tpm2_pcrs: [7, 4]}]"),
            "4 is another one in the installer",
        ),
        (
            ENCRYPTED.replace("locked}]", "locked, key: tpm2, tpm2_pcrs: [7, 7]}]"),
            "7 is there twice",
        ),
        (ENCRYPTED.replace("opened", "vg-root"), "/dev/mapper vg-root is there twice"),
        (ENCRYPTED.replace("device: locked", "device: ESP"), "partition ESP is of type esp"),
        (
            ENCRYPTED.replace("devices: [opened]", "devices: [locked]"),
            "locked belongs to luks",
        ),
        (ENCRYPTED.replace("locked}]", "locked, format: xfs}]"), "opened is what something else"),
        (SUBVOLUMES.replace("btrfs", "xfs"), "partition root: has subvolumes"),
        (SUBVOLUMES.replace("@home", "@/home"), "not the name of a subvolume"),
        (SUBVOLUMES.replace('"@home"', '"@"'), "subvolume @ is there twice"),
        (SUBVOLUMES.replace("mount: /home", "mount: /"), "mount / is there twice"),
        (SUBVOLUMES.replace("mount: /home", "mount: /boot/efi"), "mount /boot/efi is there twice"),
        (f"{FOUR}raid: [{{name: r, level: 10, devices: [leg], format: xfs}}]", "level 10 on 2"),
        (
            f"{FOUR}raid: [{{name: r, level: 1, devices: [leg, leg], format: xfs}}]",
            "leg belongs to raid r already",
        ),
        (
            f"{FOUR}raid: [{{name: r, level: 10, devices: [leg, other]}}]",
            "raid r holds nothing",
        ),
        (
            MIRROR.replace("type: raid", "type: luks")
            + "luks: [{name: x, device: mirror, format: xfs, mount: /}]",
            "mirror is a partition of several disks",
        ),
    ],
)
def test_stack(text: str, says: str) -> None:
    with pytest.raises(BadInput) as caught:
        check_layout(layout(text))
    assert says in str(caught.value)
