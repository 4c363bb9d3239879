# SPDX-License-Identifier: GPL-2.0-or-later
"""What an image can be booted with, as its files tell."""

from pathlib import Path

import pytest
from tests.trees import files, small_system

from swarmstrap.manifest import SignedBoot
from swarmstrap_server.images.facts import read_facts
from swarmstrap_server.images.loaders import kernel_arguments
from swarmstrap_server.images.sources.directory import Directory

# As grub-mkimage leaves it: the prefix stands among the modules, at the end.
SIGNED_GRUB = b"MZ\0/EFI/wrong is text\0" + bytes(4096) + b"\0/EFI/vendor\0" + b"\0" * 64


@pytest.fixture
def root(tmp_path: Path) -> Path:
    small_system(tmp_path / "source")
    return tmp_path / "source"


def test_no_boot_loader(root: Path) -> None:
    facts = read_facts(Directory(root))
    assert (facts.signed_boot, facts.systemd_boot, facts.grub_folder) == (None, "", "boot/grub")
    assert facts.kernel_arguments == ()


def test_debian(root: Path) -> None:
    shim, grub = "usr/lib/shim/shimx64.efi.signed", "usr/lib/grub/x86_64-efi-signed"
    files(root, shim, f"{grub}/grubx64.efi.signed")
    (root / grub / "grubx64.efi.signed").write_bytes(SIGNED_GRUB)
    signed = SignedBoot(
        shim=shim, grub=f"{grub}/grubx64.efi.signed", manager="", folder="EFI/vendor"
    )
    assert read_facts(Directory(root)).signed_boot == signed
    files(root, "usr/lib/shim/mmx64.efi.signed")
    found = read_facts(Directory(root)).signed_boot
    assert found is not None
    assert found.manager == "usr/lib/shim/mmx64.efi.signed"


def test_half_of_it_is_nothing(root: Path) -> None:
    files(root, "usr/lib/shim/shimx64.efi.signed")
    assert read_facts(Directory(root)).signed_boot is None


@pytest.mark.parametrize(
    ("shim", "grub", "manager", "folder"),
    [
        (
            "boot/efi/EFI/fedora/shimx64.efi",
            "boot/efi/EFI/fedora/grubx64.efi",
            "boot/efi/EFI/fedora/mmx64.efi",
            "EFI/fedora",
        ),
        (
            "usr/share/efi/aarch64/shim.efi",
            "usr/share/efi/aarch64/grub.efi",
            "usr/share/efi/aarch64/MokManager.efi",
            "EFI/test",
        ),
    ],
)
def test_elsewhere(shim: str, grub: str, manager: str, folder: str, root: Path) -> None:
    files(root, shim, grub, manager, "boot/efi/EFI/BOOT/BOOTX64.EFI")
    signed = SignedBoot(shim=shim, grub=grub, manager=manager, folder=folder)
    assert read_facts(Directory(root)).signed_boot == signed


def test_systemd_boot_and_grub2(root: Path) -> None:
    files(root, "usr/lib/systemd/boot/efi/systemd-bootx64.efi", "usr/sbin/grub2-install")
    facts = read_facts(Directory(root))
    assert facts.systemd_boot == "usr/lib/systemd/boot/efi/systemd-bootx64.efi"
    assert facts.grub_folder == "boot/grub2"


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        ({"default/grub": 'GRUB_CMDLINE_LINUX_DEFAULT="quiet splash"\n'}, "quiet splash"),
        (
            {
                "default/grub": "GRUB_CMDLINE_LINUX_DEFAULT=quiet # not so loud\n"
                "GRUB_CMDLINE_LINUX='net.ifnames=0'\n#GRUB_CMDLINE_LINUX=no\n"
            },
            "net.ifnames=0 quiet",
        ),
        (
            {
                "default/grub": 'GRUB_CMDLINE_LINUX_DEFAULT="quiet"\n',
                "default/grub.d/15-a.cfg": 'GRUB_CMDLINE_LINUX_DEFAULT="a $GRUB_CMDLINE_LINUX'
                '_DEFAULT b"\n',
                "default/grub.d/50-swarmstrap.cfg": 'GRUB_CMDLINE_LINUX="of=another-node"\n',
                "default/grub.d/README": "GRUB_CMDLINE_LINUX=no\n",
            },
            "a quiet b",
        ),
        (
            {
                "default/grub": 'GRUB_CMDLINE_LINUX="root=/dev/sda1 ro resume=UUID=1 '
                "rd.luks.uuid=2 rd.lvm.lv=vg/root rd.md=0 crashkernel=1G-:256M foo='$x' "
                'iommu=pt rootdelay=5"\n'
            },
            "crashkernel=1G-:256M iommu=pt rootdelay=5",
        ),
        ({"kernel/cmdline": "root=LABEL=x rw mitigations=off\n"}, "mitigations=off"),
        ({"default/grub": "GRUB_TIMEOUT=5\n", "kernel/cmdline": "quiet\n"}, "quiet"),
    ],
)
def test_kernel_arguments(texts: dict[str, str], words: str, root: Path) -> None:
    for path, text in texts.items():
        place = root / "etc" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    assert kernel_arguments(Directory(root)) == tuple(words.split())
