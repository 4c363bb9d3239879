# SPDX-License-Identifier: GPL-2.0-or-later
"""Boot entries as firmware keeps them, and the order in which it tries them."""

import contextlib
import struct
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from swarmstrap.effects.hardware import sysfs
from swarmstrap.effects.system import efi as variables
from swarmstrap.efi import Entry, Firmware, change, decode, encode
from swarmstrap.errors import BadInput
from swarmstrap.steps.system import AddBootEntries
from swarmstrap.volumes import DiskId, PartitionVolume, PlannedPartition
from swarmstrap.wire import BootOrder

GUID = "c26acaaa-f052-53b0-a48a-208af2ebb1e3"
OTHER = "00112233-4455-6677-8899-aabbccddeeff"
GONE = "ffffffff-0000-1111-2222-333333333333"
GLOBAL = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
SHIM = "EFI/debian/shimx64.efi"
PXE = Entry("UEFI PXEv4 (MAC:525400000007)", "", "", network=True)
HTTP = Entry("UEFI HTTPv6", "", "", network=True)
DISK = Entry("UEFI Misc Device", "", "", network=False)
# Written by efibootmgr 17 for partition 1 of a disk with sectors of 512 bytes.
EFIBOOTMGR = bytes.fromhex(
    "01000000" "6200" "640065006200690061006e000000"
    "04012a00" "01000000" "0008000000000000" "0000100000000000"
    "aaca6ac252f0b053a48a208af2ebb1e3" "02" "02"
    "04043400" "5c004500460049005c00640065006200690061006e005c007300680069006d007800"
    "360034002e006500660069000000" "7fff0400"
)  # fmt: skip
# OVMF's own for a NIC: PciRoot(0)/Pci(2,0)/MAC(525400000007,1)/IPv4(0.0.0.0)
OVMF_PXE = (
    struct.pack("<IH", 1, 12 + 6 + 37 + 27 + 4)
    + "UEFI PXEv4\0".encode("utf-16-le")
    + bytes.fromhex("02010c00d041030a00000000" "010106000002")
    + bytes.fromhex("030b2500525400000007") + bytes(27)
    + bytes.fromhex("030c1b00") + bytes(23)
    + bytes.fromhex("7fff0400")
)  # fmt: skip


def esp(uuid: str = GUID, sector: int = 512) -> PartitionVolume:
    disk = DiskId("/dev/vda", 20 << 30, "x", "", "", sector)
    return PartitionVolume(disk, PlannedPartition(1, "ESP", "esp", 1 << 20, 512 << 20, uuid))


def test_an_entry_is_what_efibootmgr_writes() -> None:
    assert encode("debian", esp(), SHIM) == EFIBOOTMGR
    assert decode(EFIBOOTMGR) == Entry("debian", GUID, "\\EFI\\debian\\shimx64.efi", False)


@pytest.mark.parametrize("uuid", [GUID, "1a2b3c4d-01"], ids=["gpt", "mbr"])
def test_there_and_back(uuid: str) -> None:
    found = decode(encode("Größe", esp(uuid), "/EFI/BOOT/BOOTX64.EFI"))
    assert found == Entry("Größe", uuid, "\\EFI\\BOOT\\BOOTX64.EFI", False)


def test_places_are_in_the_disks_own_sectors() -> None:
    start, size = struct.unpack_from("<QQ", encode("", esp(sector=4096), ""), 8 + 8)
    assert (start, size) == (256, 131072)


def test_the_network_is_known_by_its_path() -> None:
    assert decode(OVMF_PXE) == Entry("UEFI PXEv4", "", "", network=True)


@given(some.binary(max_size=120) | some.integers(0, 130).map(lambda n: EFIBOOTMGR[:n]))
def test_whatever_firmware_keeps_is_an_entry_or_none(variable: bytes) -> None:
    with contextlib.suppress(BadInput):
        decode(variable)


def ours(number: int, uuid: str = GUID, file: str = SHIM) -> dict[int, Entry]:
    return {number: decode(encode("debian", esp(uuid), file))}


@pytest.mark.parametrize(
    ("entries", "order", "current", "policy", "netbooted", "expected"),
    [
        ({}, [], None, "network-first", True, [0]),
        ({0: DISK, 1: PXE}, [0, 1], 1, "network-first", True, [1, 2, 0]),
        ({0: DISK, 1: PXE}, [0, 1], 1, "disk-first", True, [2, 0, 1]),
        ({0: HTTP, 1: PXE, 5: DISK}, [5, 0, 1], 1, "network-first", True, [1, 0, 2, 5]),
        # By an iPXE on a stick; started from a medium without any network.
        ({0: DISK, 1: PXE}, [1, 0], 0, "network-first", True, [0, 1, 2]),
        ({0: DISK, 1: PXE}, [0, 1], 0, "network-first", False, [1, 2, 0]),
        ({0: DISK}, [0], None, "network-first", False, [1, 0]),
        # Ours from before stays what it is, wherever it stood; order may name what is not there.
        ({0: PXE, **ours(7)}, [9, 7, 0], 0, "network-first", True, [0, 7]),
        ({0: PXE, **ours(7)}, [0, 7], 0, "disk-first", True, [7, 0]),
    ],
)
def test_order(
    entries: dict[int, Entry],
    order: list[int],
    current: int | None,
    policy: BootOrder,
    netbooted: bool,
    expected: list[int],
) -> None:
    firmware = Firmware(entries, tuple(order), current)
    changed = change(firmware, {"debian": esp()}, SHIM, {GUID}, policy, netbooted)
    assert list(changed.order) == expected


@pytest.mark.parametrize(
    ("left", "removed"),
    [
        ({}, []),
        (ours(3), []),
        (ours(3) | ours(4), [4]),
        (ours(3, GONE) | ours(4, GONE), [3, 4]),
        (ours(3, OTHER), []),  # a system of that name on a disk that is there
        (ours(3, file="EFI/debian/grubx64.efi"), [3]),
        ({3: Entry("debian", "", "", network=False)}, []),
        ({3: Entry("fedora", GONE, "\\x", network=False)}, []),
    ],
)
def test_what_goes(left: dict[int, Entry], removed: list[int]) -> None:
    firmware = Firmware({0: PXE, **left}, (0, *left), 0)
    changed = change(firmware, {"debian": esp()}, SHIM, {GUID, OTHER}, "network-first", True)
    assert list(changed.removed) == removed


def test_fifty_deployments_leave_one_entry() -> None:
    firmware = Firmware({0: PXE, 1: DISK}, (0, 1), 0)
    for number in range(50):
        uuid = f"{number:08x}-0000-0000-0000-000000000000"
        changed = change(firmware, {"debian": esp(uuid)}, SHIM, {uuid}, "network-first", True)
        kept = {n: e for n, e in firmware.entries.items() if n not in changed.removed}
        new = {n: decode(variable) for n, variable in changed.written.items()}
        firmware = replace(firmware, entries={**kept, **new}, order=changed.order)
    assert len(firmware.entries) == 3
    assert [firmware.entries[n].label for n in firmware.order] == [PXE.label, "debian", DISK.label]


@pytest.fixture
def firmware(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Variables as efivarfs shows them: four bytes of attributes, then the value."""
    monkeypatch.setattr(sysfs, "SYS", tmp_path)
    monkeypatch.setattr(variables, "_PARTITIONS", tmp_path / "by-partuuid")
    folder = tmp_path / "firmware/efi/efivars"
    folder.mkdir(parents=True)
    for name, value in (
        ("Boot0001", OVMF_PXE),
        ("Boot0002", EFIBOOTMGR),
        ("Boot0000", b"vendor nonsense"),
        ("BootOrder", struct.pack("<HH", 2, 1)),
        ("BootCurrent", struct.pack("<H", 1)),
        ("BootOptionSupport", b"\1\2\3\4"),
    ):
        (folder / f"{name}-{GLOBAL}").write_bytes(b"\7\0\0\0" + value)
    return folder


def test_variables(firmware: Path) -> None:
    two = (esp(OTHER), esp("11112222-0000-0000-0000-000000000000"))
    step = AddBootEntries("debian", two, SHIM, "network-first", netbooted=True)
    assert variables.add_entries(step) == ()
    found = {path.name[:8]: path.read_bytes()[4:] for path in firmware.glob("Boot000*")}
    assert found.keys() == {"Boot0000", "Boot0001", "Boot0002", "Boot0003"}
    assert found["Boot0000"] == b"vendor nonsense"
    assert decode(found["Boot0002"]) == decode(encode("debian", two[0], SHIM))
    assert decode(found["Boot0003"]) == decode(encode("debian 2", two[1], SHIM))
    order = (firmware / f"BootOrder-{GLOBAL}").read_bytes()
    assert order == b"\7\0\0\0" + struct.pack("<HHH", 1, 2, 3)


def test_firmware_that_refuses_is_a_warning(firmware: Path) -> None:
    (firmware / f"BootOrder-{GLOBAL}").unlink()
    (firmware / f"BootOrder-{GLOBAL}").mkdir()
    step = AddBootEntries("debian", (esp(OTHER),), SHIM, "network-first", netbooted=True)
    (warning,) = variables.add_entries(step)
    assert warning.startswith("the firmware refused a boot entry, and looks at the ESP itself: ")
