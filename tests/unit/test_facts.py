# SPDX-License-Identifier: GPL-2.0-or-later
"""What a plan has to know about an image, read from any source."""

import shutil
from pathlib import Path
from typing import Literal

import pytest
from tests.trees import ELF_X86_64, files, small_system

from swarmstrap.errors import BadInput
from swarmstrap.manifest import Kernel
from swarmstrap_server.images.facts import natural, read_architecture, read_facts
from swarmstrap_server.images.looking import inside
from swarmstrap_server.images.sources.directory import Directory


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "source"
    small_system(root)
    return root


def test_facts(source: Path) -> None:
    files(
        source,
        "boot/vmlinuz-6.1.0-9-amd64",
        "boot/vmlinuz-6.1.0-10-amd64",
        "boot/initrd.img-6.1.0-10-amd64",
        "boot/vmlinuz-0-rescue-abc",
        "usr/lib/grub/i386-pc/normal.mod",
        "usr/lib/grub/x86_64-efi/normal.mod",
        "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed",
        "usr/lib/grub/grub-mkconfig_lib",
        "sbin/ifup",
    )
    (source / "vmlinuz").symlink_to("boot/vmlinuz-6.1.0-10-amd64")
    wants = source / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(parents=True)
    (wants / "networking.service").symlink_to("/lib/systemd/system/networking.service")
    facts = read_facts(Directory(source))
    assert (facts.os_id, facts.os_name, facts.os_version) == ("test", "Test 1", "1")
    assert facts.kernels == (
        Kernel("6.1.0-10-amd64", "boot/vmlinuz-6.1.0-10-amd64", "boot/initrd.img-6.1.0-10-amd64"),
        Kernel("6.1.0-9-amd64", "boot/vmlinuz-6.1.0-9-amd64", ""),
    )
    assert facts.grub_targets == ("i386-pc", "x86_64-efi")
    assert facts.network_stack == "ifupdown"
    (wants / "NetworkManager.service").symlink_to("/nowhere")
    assert read_facts(Directory(source)).network_stack == "networkmanager"
    (wants / "systemd-networkd.service").symlink_to("/nowhere")
    assert read_facts(Directory(source)).network_stack == "systemd-networkd"
    files(source, "usr/share/netplan/netplan.script", "usr/sbin/nothing")
    (source / "usr/sbin/netplan").symlink_to("../share/netplan/netplan.script")
    assert read_facts(Directory(source)).network_stack == "netplan"


DRACUT = ("usr/lib/dracut/modules.d/91tpm2-tss/module-setup.sh", "usr/bin/tpm2")
CLEVIS = tuple(f"usr/bin/clevis-{word}" for word in ("luks-bind", "encrypt-tpm2", "decrypt-tpm2"))
BY_HOOK = (*CLEVIS, "usr/share/initramfs-tools/hooks/clevis")


@pytest.mark.parametrize(
    ("there", "unlocker"),
    [
        (("usr/bin/systemd-cryptenroll",), ""),
        (("usr/bin/systemd-cryptenroll", *DRACUT), "systemd"),
        (("usr/bin/systemd-cryptenroll", DRACUT[0]), ""),
        (("usr/bin/systemd-cryptenroll", *DRACUT, *BY_HOOK), "systemd"),
        (DRACUT, ""),
        (BY_HOOK, "clevis"),
        ((*CLEVIS, "usr/lib/dracut/modules.d/60clevis-pin-tpm2/module-setup.sh"), "clevis"),
        (CLEVIS, ""),
        (BY_HOOK[1:], ""),
    ],
)
def test_who_asks_a_tpm2(there: tuple[str, ...], unlocker: str, source: Path) -> None:
    files(source, *there)
    assert read_facts(Directory(source)).tpm2_unlocker == ""
    files(source, "usr/lib/x86_64-linux-gnu/libtss2-esys.so.0")
    assert read_facts(Directory(source)).tpm2_unlocker == unlocker


@pytest.mark.parametrize(
    ("hooks", "unlocker"),
    [
        ("HOOKS=(base systemd autodetect sd-encrypt filesystems)", "systemd"),
        ("#HOOKS=(base systemd sd-encrypt)", ""),
        ("HOOKS=(base udev encrypt)", ""),
    ],
)
def test_who_asks_a_tpm2_in_what_mkinitcpio_makes(hooks: str, unlocker: str, source: Path) -> None:
    files(source, "usr/bin/systemd-cryptenroll", "usr/lib/libtss2-esys.so.0")
    (source / "etc/mkinitcpio.conf").write_text(f"MODULES=()\n{hooks}\n")
    assert read_facts(Directory(source)).tpm2_unlocker == unlocker


def test_network_scripts(source: Path) -> None:
    files(source, "etc/sysconfig/network-scripts/ifup-eth", "etc/rc.d/rc3.d/K90network")
    assert read_facts(Directory(source)).network_stack == "none"
    files(source, "etc/rc.d/rc3.d/S10network")
    assert read_facts(Directory(source)).network_stack == "ifcfg"


def test_cloud_init(source: Path) -> None:
    assert not read_facts(Directory(source)).cloud_init
    files(source, "etc/cloud/cloud.cfg")
    assert read_facts(Directory(source)).cloud_init


def test_resolver(source: Path) -> None:
    assert read_facts(Directory(source)).resolver == "none"
    files(source, "sbin/resolvconf")
    assert read_facts(Directory(source)).resolver == "resolvconf"
    wants = source / "etc/systemd/system/sysinit.target.wants"
    wants.mkdir(parents=True)
    (wants / "systemd-resolved.service").symlink_to("/nowhere")
    assert read_facts(Directory(source)).resolver == "systemd-resolved"


def test_architecture_is_the_images_own(source: Path) -> None:
    assert read_architecture(Directory(source)) == "x86_64"
    (source / "bin/sh").unlink()
    (source / "bin/dash").write_bytes(ELF_X86_64[:18] + b"\xb7\x00")
    (source / "bin/sh").symlink_to("/bin/dash")
    assert read_architecture(Directory(source)) == "aarch64"
    shutil.rmtree(source / "bin")
    with pytest.raises(BadInput, match="no program that tells its architecture"):
        read_architecture(Directory(source))


@pytest.mark.parametrize(
    ("machine", "order", "name"),
    [
        (21, "little", "ppc64le"),
        (21, "big", "ppc64"),
        (22, "big", "s390x"),
        (243, "little", "riscv64"),
        (9999, "little", "elf-9999-little"),
    ],
)
def test_architectures(
    source: Path, machine: int, order: Literal["little", "big"], name: str
) -> None:
    head = bytearray(ELF_X86_64)
    head[5] = 1 if order == "little" else 2
    head[18:20] = machine.to_bytes(2, order)
    (source / "bin/sh").write_bytes(head)
    assert read_architecture(Directory(source)) == name


def test_links_do_not_lead_out_of_the_image(source: Path) -> None:
    (source / "loop").symlink_to("loop")
    (source / "up").symlink_to("../../../../../../etc/os-release")
    (source / "absolute").symlink_to("/etc")
    tree = Directory(source)
    release = tree.look(b"etc/os-release")
    assert release is not None
    assert inside(tree, "loop") is None
    assert inside(tree, "up") == inside(tree, "absolute/os-release") == release.entry
    assert inside(tree, "absolute/passwd") is None


def test_versions_in_natural_order() -> None:
    assert sorted(["6.10.0", "6.9.1", "6.9.1-rc2", "6.9"], key=natural) == [
        "6.9",
        "6.9.1",
        "6.9.1-rc2",
        "6.10.0",
    ]
