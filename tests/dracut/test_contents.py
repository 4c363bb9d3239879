# SPDX-License-Identifier: GPL-2.0-or-later
"""What a node needs lies in the initramfs, and what it does not need does not."""

import ast
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.dracut.installer import ALLOWED_SIGNERS, CA_CERTIFICATE, Installer

import swarmstrap

AGENT = Path(swarmstrap.__file__).parent
DIRECTORIES = ("usr/bin", "usr/sbin")
# What the agent starts in the new system, not in the initramfs.
OF_THE_NEW_SYSTEM = {"grub-install", "systemd-cryptenroll", "clevis"}
FAMILIES = (
    "drivers/ata",
    "drivers/block",
    "drivers/md",
    "drivers/message",
    "drivers/net/ethernet",
    "drivers/nvme",
    "drivers/scsi",
    "drivers/usb/storage",
    "drivers/watchdog",
    "fs/nls",
)

PROGRAMS = (
    *("sh", "ls", "cat", "dmesg", "less", "vi", "tar", "sync", "reboot", "poweroff", "chroot"),
    *("ip", "dhclient", "udevadm", "sgdisk", "modprobe", "mount", "umount", "findmnt", "unshare"),
    *("blkid", "lsblk", "wipefs", "blockdev", "mke2fs", "mkfs.ext4", "e2fsck", "mkfs.xfs"),
    *("mkfs.btrfs", "btrfs", "mdadm", "lvm", "dmsetup", "thin_check", "cryptsetup"),
    *("mkfs.vfat", "mkswap", "efibootmgr", "kexec", "ssh-keygen", "python3", "swarmstrap-agent"),
)
DRIVERS = (
    *("ext4", "xfs", "vfat", "btrfs", "isofs", "efivarfs", "vmd"),
    *("raid0", "raid1", "raid10", "raid456", "dm-mod", "dm-thin-pool", "dm-crypt", "xts"),
    *("virtio_net", "virtio_console", "e1000e", "igb", "ixgbe", "tg3", "mlx5_core", "vmxnet3"),
    *("hv_netvsc", "bonding", "8021q", "ib_ipoib", "usb-storage", "usbhid", "xhci-pci"),
    *("i6300esb", "iTCO_wdt"),
)


def has_program(tree: Path, name: str) -> bool:
    return any(os.access(tree / folder / name, os.X_OK) for folder in DIRECTORIES)


def programs_in_code() -> Iterator[str]:
    """The first word of every list in the agent that is the name of a program here."""
    for source in sorted(AGENT.rglob("*.py")):
        for node in ast.walk(ast.parse(source.read_bytes())):
            match node:
                case ast.List(elts=[ast.Constant(value=str(word)), *_]) if shutil.which(word):
                    yield Path(word).name


def drivers(modules: Path, family: str) -> set[str]:
    return {path.name for path in (modules / "kernel" / family).rglob("*.ko*")}


def test_every_program_that_the_agent_runs(installer: Installer) -> None:
    named = set(programs_in_code()) - OF_THE_NEW_SYSTEM
    assert {"mkfs.ext4", "mount", "udevadm"} <= named
    assert not {name for name in named if not has_program(installer.tree, name)}


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(installer: Installer, name: str) -> None:
    assert has_program(installer.tree, name)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_driver_of_a_family(installer: Installer, family: str) -> None:
    of_the_kernel = drivers(Path("/lib/modules", installer.built.release), family)
    assert of_the_kernel
    assert not of_the_kernel - drivers(installer.modules, family)


@pytest.mark.parametrize("name", DRIVERS)
def test_driver(installer: Installer, name: str) -> None:
    assert list(installer.modules.rglob(f"{name}.ko*"))


def test_drivers_know_what_they_need(installer: Installer) -> None:
    """modules.dep names only files that are there."""
    lines = (installer.modules / "modules.dep").read_text().splitlines()
    assert len(lines) > 500
    named = {word.rstrip(":") for line in lines for word in line.split()}
    assert not {name for name in named if not (installer.modules / name).exists()}


def test_volumes_get_their_names_and_none_of_them_starts_by_itself(installer: Installer) -> None:
    rules = {path.name for path in (installer.tree / "usr/lib/udev/rules.d").iterdir()}
    assert {"55-dm.rules", "56-lvm.rules", "63-md-raid-arrays.rules", "95-dm-notify.rules"} <= rules
    starting = re.compile(rb"mdadm (-I|--incremental)|vgchange|pvscan|cryptsetup|cryptdisks")
    folder = installer.tree / "usr/lib/udev/rules.d"
    assert not [name for name in rules if starting.search((folder / name).read_bytes())]


def test_no_wireless(installer: Installer) -> None:
    assert not drivers(installer.modules, "drivers/net/wireless")


def test_nothing_but_code_of_the_agent(installer: Installer) -> None:
    home = installer.tree / "opt/swarmstrap"
    kinds = {path.suffix for path in home.rglob("*") if path.is_file()}
    assert {".pyc", ".so"} <= kinds
    assert not kinds & {".py", ".pyi", ".h", ".c", ".pyx", ".a"}
    assert not [path for path in home.rglob("*") if path.name in {"__pycache__", "test", "tests"}]


def test_libraries_can_be_found_by_dracut(installer: Installer) -> None:
    libraries = list((installer.tree / "opt/swarmstrap").rglob("*.so"))
    assert libraries
    assert all(os.access(library, os.X_OK) for library in libraries)


def test_keys_of_the_site_follow(installer: Installer) -> None:
    assert installer.built.size == installer.built.initramfs.stat().st_size
    appended = installer.built.initramfs.read_bytes()[-4096:]
    assert CA_CERTIFICATE in appended
    assert ALLOWED_SIGNERS in appended
    assert not (installer.tree / "etc/swarmstrap").exists()


def test_kernel_is_that_of_the_drivers(installer: Installer) -> None:
    release = installer.built.release
    assert installer.built.kernel.read_bytes() == Path(f"/boot/vmlinuz-{release}").read_bytes()
