# SPDX-License-Identifier: GPL-2.0-or-later
"""Boot loaders of the image, put where firmware looks for them."""

import os
from pathlib import Path

import pytest

from swarmstrap.effects.disks.mounts import mount_points
from swarmstrap.effects.hardware import udev
from swarmstrap.effects.system import bootloader
from swarmstrap.errors import StepFailed
from swarmstrap.steps.system import EspCopy, EspText, FillEsps, InstallGrub
from swarmstrap.volumes import DiskId

DISKS = (DiskId("/dev/vda", 1, "x", "", "", 512), DiskId("/dev/vdb", 1, "y", "", "", 512))
FILL = FillEsps(
    what="test",
    esps=(),
    copies=(EspCopy("/usr/lib/shim", "EFI/BOOT/BOOTX64.EFI"), EspCopy("/grub", "EFI/x/grub.efi")),
    texts=(EspText("EFI/x/grub.cfg", "configfile\n"),),
    absent=("EFI/BOOT/fbx64.efi", "EFI/none/none"),
)


def script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.fixture
def disks(monkeypatch: pytest.MonkeyPatch) -> None:
    """As they are called today."""
    monkeypatch.setattr(udev, "find", lambda disk: {"x": "/dev/sdb", "y": "/dev/sdc"}[disk.serial])


@pytest.mark.usefixtures("disks")
def test_grub_on_every_disk(system: Path) -> None:
    script(system / "usr/sbin/grub-install", 'echo "$0 $@" >> /tmp/said')
    script(system / "usr/sbin/grub2-install", 'echo "$0 $@" >> /tmp/said')
    bootloader.install_grub(InstallGrub("i386-pc", "/boot/grub", disks=DISKS), system)
    bootloader.install_grub(InstallGrub("i386-pc", "/boot/grub2", disks=DISKS[:1]), system)
    assert (system / "tmp/said").read_text().splitlines() == [
        "/usr/sbin/grub-install --target=i386-pc /dev/sdb",
        "/usr/sbin/grub-install --target=i386-pc /dev/sdc",
        "/usr/sbin/grub2-install --target=i386-pc /dev/sdb",
    ]


@pytest.mark.usefixtures("disks")
def test_grub_that_fails_fails_the_step(system: Path) -> None:
    script(system / "usr/sbin/grub-install", "echo no space left >&2; exit 1")
    with pytest.raises(StepFailed, match="no space left"):
        bootloader.install_grub(InstallGrub("i386-pc", "/boot/grub", disks=DISKS), system)
    assert mount_points(system) == []


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root/usr/lib").mkdir(parents=True)
    (tmp_path / "root/usr/lib/shim").symlink_to("/shim.latest")
    (tmp_path / "root/shim.latest").write_bytes(b"shim")
    (tmp_path / "root/grub").write_bytes(b"grub")
    return tmp_path / "root"


def test_an_esp_is_filled(root: Path, tmp_path: Path) -> None:
    esp = tmp_path / "esp"
    (esp / "EFI/BOOT").mkdir(parents=True)
    (esp / "EFI/BOOT/fbx64.efi").touch()
    (esp / "EFI/BOOT/BOOTX64.EFI").write_bytes(b"older and longer")
    bootloader.fill(FILL, root, esp)
    found = {str(p.relative_to(esp)): p.read_bytes() for p in esp.rglob("*") if p.is_file()}
    assert found == {
        "EFI/BOOT/BOOTX64.EFI": b"shim",
        "EFI/x/grub.efi": b"grub",
        "EFI/x/grub.cfg": b"configfile\n",
    }


def test_what_is_there_is_not_written_again(root: Path, tmp_path: Path) -> None:
    bootloader.fill(FILL, root, tmp_path / "esp")
    os.utime(tmp_path / "esp/EFI/x/grub.efi", (1, 1))
    os.utime(tmp_path / "esp/EFI/x/grub.cfg", (1, 1))
    (root / "shim.latest").write_bytes(b"Shim")
    bootloader.fill(FILL, root, tmp_path / "esp")
    assert (tmp_path / "esp/EFI/x/grub.efi").stat().st_mtime == 1
    assert (tmp_path / "esp/EFI/x/grub.cfg").stat().st_mtime == 1
    assert (tmp_path / "esp/EFI/BOOT/BOOTX64.EFI").read_bytes() == b"Shim"


def test_what_the_image_no_longer_has(root: Path, tmp_path: Path) -> None:
    (root / "shim.latest").unlink()
    with pytest.raises(StepFailed, match="the new system has no /usr/lib/shim"):
        bootloader.fill(FILL, root, tmp_path / "esp")


def test_host_keys_come_from_the_image(system: Path) -> None:
    bootloader.make_host_keys(system)  # an image without SSH is no error
    script(system / "usr/bin/ssh-keygen", 'echo "$@" > /tmp/said')
    bootloader.make_host_keys(system)
    assert (system / "tmp/said").read_text() == "-A\n"
