# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules of rendering that the plans' files.txt do not show. The files themselves are there."""

import pytest

from swarmstrap.errors import BadInput
from swarmstrap.manifest import Facts, Kernel
from swarmstrap.placing import PlacedMount, PlacedVolume
from swarmstrap.render import check_hostname, grub_cfg, newest, own_arguments
from swarmstrap.volumes import DiskId, PartitionVolume, PlannedPartition

ROOT = PlacedVolume(
    PartitionVolume(
        DiskId("/dev/vda", 1, "", "", "", 512), PlannedPartition(1, "root", "root", 1, 1, "part")
    ),
    label="root",
    type="root",
    size=1,
    sector=512,
    format="ext4",
    uuid="fs",
    mounts=(PlacedMount("/", "defaults"),),
)


@pytest.mark.parametrize(
    ("versions", "highest"),
    [
        (["6.1.0-9-amd64", "6.1.0-10-amd64"], "6.1.0-10-amd64"),
        (["6.12.0", "6.9.0"], "6.12.0"),
        (["6.12-rc1", "6.12.0"], "6.12.0"),
        (["5.14.0-427.el9", "5.14.0-70.el9"], "5.14.0-427.el9"),
    ],
)
def test_newest_kernel(versions: list[str], highest: str) -> None:
    assert newest([Kernel(v, f"boot/{v}", "") for v in versions]).version == highest


def test_consoles_are_added_unless_one_is_named() -> None:
    assert own_arguments("quiet") == "quiet console=tty0 console=ttyS0,115200"
    assert own_arguments("quiet  console=hvc0") == "quiet console=hvc0"


def test_a_title_cannot_leave_its_quotes() -> None:
    facts = Facts(os_name="Evil' { reboot }; menuentry 'x$(y)")
    cfg = grub_cfg(facts, Kernel("1", "boot/k", ""), [ROOT], "ro")
    (title,) = [line for line in cfg.splitlines() if line.startswith("menuentry")]
    assert title == "menuentry 'Evil  reboot  menuentry x(y), Linux 1' {"


@pytest.mark.parametrize("name", ["n", "node-7", "web7.example.net", "7"])
def test_hostname(name: str) -> None:
    assert check_hostname(name) == name


@pytest.mark.parametrize("name", ["", "-a", "a-", "a..b", "A", "a_b", "a b", "a\n", "x" * 64])
def test_no_hostname(name: str) -> None:
    with pytest.raises(BadInput):
        check_hostname(name)
