# SPDX-License-Identifier: GPL-2.0-or-later
"""Finding the planned disk again: by what it is, whatever it is called today."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from swarmstrap.command import Argument, Command, Completed
from swarmstrap.effects.hardware import sysfs, udev
from swarmstrap.errors import StepFailed
from swarmstrap.units import GiB, MiB
from swarmstrap.volumes import DiskId, PartitionVolume, PlannedPartition

PLANNED = DiskId("/dev/sda", 20 * GiB, "SER1", "0x5001", "/dev/disk/by-path/pci-1-ata-1", 512)


@dataclass
class Device:
    """A disk as pyudev describes it, with a folder of sysfs attributes."""

    folder: Path
    sys_name: str
    serial: str = "SER1"
    path: str = "pci-1-ata-1"
    size: int = 20 * GiB
    properties: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.properties = {
            "ID_SERIAL_SHORT": self.serial,
            "ID_WWN": "0x5001" if self.serial else "",
            "ID_PATH": self.path,
            "ID_BUS": "ata",
            "ID_MODEL_ENC": r"WDC\x20WD10EZEX\x20\x20",
        }
        write(Path(self.sys_path), "size", self.size // 512)
        write(Path(self.sys_path) / "queue", "logical_block_size", 512)
        (Path(self.sys_path) / "holders").mkdir(exist_ok=True)

    @property
    def sys_path(self) -> str:
        return str(self.folder / "class/block" / self.sys_name)

    @property
    def device_node(self) -> str | None:
        """Paths of an NVMe namespace are disks without a node."""
        return None if "c0n" in self.sys_name else f"/dev/{self.sys_name}"

    @property
    def device_links(self) -> list[str]:
        by_id = f"/dev/disk/by-id/ata-{self.serial}"
        return ["/dev/disk/by-diskseq/7", f"/dev/disk/by-path/{self.path}", by_id]

    def find_parent(self, subsystem: str, kind: str) -> None:
        return None


@dataclass
class Bus:
    """What a udev context is asked for here."""

    devices: list[Device]

    def list_devices(self, subsystem: str, **_: str) -> list[Device]:
        return self.devices


def write(folder: Path, name: str, value: int | str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(f"{value}\n")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Device]:
    devices: list[Device] = []
    monkeypatch.setattr(udev, "_context", lambda: Bus(devices))
    monkeypatch.setattr(sysfs, "SYS", tmp_path)
    return devices


def test_a_disk_is_found_under_another_name(machine: list[Device], tmp_path: Path) -> None:
    machine += [Device(tmp_path, "sda", serial="SER2"), Device(tmp_path, "sdb")]
    assert udev.find(PLANNED) == "/dev/sdb"


@pytest.mark.parametrize(
    "changed",
    [
        {"size": 21 * GiB},
        {"serial": "SER9"},
        {"wwn": "0x5002"},
        {"by_path": "/dev/disk/by-path/pci-1-ata-2"},
        {"logical_sector": 4096},
    ],
)
def test_another_disk_under_the_planned_name_is_refused(
    changed: dict[str, str | int], machine: list[Device], tmp_path: Path
) -> None:
    machine.append(Device(tmp_path, "sda"))
    planned = replace(PLANNED, **changed)  # type: ignore[arg-type]
    with pytest.raises(StepFailed, match="no disk is the planned /dev/sda"):
        udev.find(planned)


def test_two_that_cannot_be_told_apart_are_refused(machine: list[Device], tmp_path: Path) -> None:
    machine += [Device(tmp_path, "sda"), Device(tmp_path, "sdb")]
    with pytest.raises(StepFailed, match="2 disks are the planned"):
        udev.find(PLANNED)


def test_a_disk_without_any_mark_must_keep_its_name(machine: list[Device], tmp_path: Path) -> None:
    machine += [Device(tmp_path, "sda", serial="", path=""), Device(tmp_path, "sdb", path="")]
    bare = replace(PLANNED, serial="", wwn="", by_path="")
    assert udev.find(bare) == "/dev/sda"
    with pytest.raises(StepFailed, match="no disk is"):
        udev.find(replace(bare, name="/dev/sdc"))


def test_a_partition_is_proven_by_its_place(machine: list[Device], tmp_path: Path) -> None:
    machine.append(Device(tmp_path, "sda"))
    folder = tmp_path / "class/block/sda/sda2"
    for name, value in (("partition", 2), ("start", 2048), ("size", 4096)):
        write(folder, name, value)
    there = PlannedPartition(2, "root", "root", MiB, 2 * MiB, "")
    assert udev.partition_node(PartitionVolume(PLANNED, there)) == "/dev/sda2"
    for elsewhere in (replace(there, start=2 * MiB), replace(there, size=MiB)):
        with pytest.raises(StepFailed, match="is not where the plan puts it"):
            udev.partition_node(PartitionVolume(PLANNED, elsewhere))


def test_the_paths_of_a_namespace_are_no_disks(machine: list[Device], tmp_path: Path) -> None:
    machine += [Device(tmp_path, "nvme0c0n1"), Device(tmp_path, "nvme0n1")]
    assert [disk.name for disk in udev.look("").disks] == ["/dev/nvme0n1"]
    assert udev.find(PLANNED) == "/dev/nvme0n1"


def test_lasting_names_are_those_of_the_hardware(machine: list[Device], tmp_path: Path) -> None:
    machine.append(Device(tmp_path, "sda"))
    (seen,) = udev.look("").disks
    assert seen.links == ("/dev/disk/by-id/ata-SER1", "/dev/disk/by-path/pci-1-ata-1")
    assert (seen.model, seen.tran) == ("WDC WD10EZEX", "sata")


@pytest.mark.parametrize(("kind", "removable"), [("SD", True), ("MMC", False)])
def test_a_card_is_removable_and_an_emmc_is_not(
    kind: str, removable: bool, machine: list[Device], tmp_path: Path
) -> None:
    machine.append(Device(tmp_path, "mmcblk0"))
    write(Path(machine[0].sys_path) / "device", "type", kind)
    (seen,) = udev.look("").disks
    assert (seen.removable, seen.tran) == (removable, "mmc")


@pytest.mark.parametrize(("uuid", "path"), [("mpath-3600a0980", True), ("LVM-Xq1", False)])
def test_what_multipath_has_taken_is_marked(
    uuid: str, path: bool, machine: list[Device], tmp_path: Path
) -> None:
    machine.append(Device(tmp_path, "sda"))
    write(Path(machine[0].sys_path) / "holders/dm-0/dm", "uuid", uuid)
    (seen,) = udev.look("").disks
    assert (seen.multipath, seen.holders) == (path, ("dm-0",))


def test_what_is_seen_of_this_machine() -> None:
    inventory = udev.look("52:54:00:AB:CD:EF")
    assert inventory.boot.pxe_interface == "52:54:00:ab:cd:ef"
    assert inventory.memory.total > 0
    assert inventory.cpu.count > 0
    assert "lo" not in {nic.name for nic in inventory.interfaces}
    for seen in inventory.disks:
        assert seen.name.startswith("/dev/")
        assert "loop" not in seen.name


def test_a_disk_in_use_names_its_users() -> None:
    """Whatever disk this machine runs from must never look free."""
    root = Path("/proc/self/mountinfo").read_text().splitlines()
    devices = {line.split()[2] for line in root if line.split()[4] == "/"}
    held = {disk.name: disk.holders for disk in udev.look("").disks}
    for name, holders in held.items():
        if (Path("/sys/class/block") / Path(name).name / "dev").read_text().strip() in devices:
            assert "/" in holders


@dataclass
class Udevadm:
    """Answers each call with the next of `says`: its stderr, empty when it went well."""

    says: list[str]

    def __call__(self, argv: Sequence[Argument], *, timeout: float) -> Completed:
        said = self.says.pop(0)
        return Command.of(argv).ended(1 if said else 0, b"", said.encode(), check=True)


HUNG_UP = "Failed to wait for daemon to reply: Broken pipe"


@pytest.mark.parametrize("says", [[""], [HUNG_UP, ""], [HUNG_UP, HUNG_UP, ""]])
def test_udevd_that_hung_up_is_asked_again(
    says: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(udev, "run", Udevadm(says))
    udev.settle()
    assert says == []


@pytest.mark.parametrize(
    ("says", "left"),
    [
        ([HUNG_UP, HUNG_UP, HUNG_UP, ""], [""]),
        (["Failed to connect to udev daemon: Connection refused", ""], [""]),
        (["it took too long", ""], [""]),
    ],
)
def test_udevd_that_does_not_settle(
    says: list[str], left: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    why = says[0]
    monkeypatch.setattr(udev, "run", Udevadm(says))
    with pytest.raises(StepFailed, match=why):
        udev.settle()
    assert says == left
