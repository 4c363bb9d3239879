# SPDX-License-Identifier: GPL-2.0-or-later
"""An initramfs made anew by a program of the new system, and what became of that."""

import gzip
import stat
import subprocess
from pathlib import Path

import pytest

from swarmstrap.effects.disks.mounts import mount_points
from swarmstrap.effects.system.initramfs import made_here, ready
from swarmstrap.errors import StepFailed
from swarmstrap.steps.system import Need, ReadyInitramfs

INITRD = "/boot/initrd.img-6.1"
STEP = ReadyInitramfs(
    version="6.1",
    initrd=INITRD,
    modules=(Need("megaraid_sas", "/dev/sda"), Need("raid1", "array root")),
    programs=(Need("mdadm", "array root"),),
)
TOOLS = {
    "usr/sbin/update-initramfs": "initramfs-tools",
    "usr/bin/dracut": "dracut",
    "usr/bin/mkinitcpio": "mkinitcpio",
}


def packed(tmp_path: Path, *names: str) -> bytes:
    for name in names:
        (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tree" / name).touch()
    command = ["cpio", "--quiet", "--create", "--format=newc"]
    listed = "\n".join(names).encode()
    made = subprocess.run(
        command, input=listed, cwd=tmp_path / "tree", capture_output=True, check=True
    )
    return gzip.compress(made.stdout)


@pytest.fixture
def image(system: Path, tmp_path: Path) -> Path:
    """A system whose initramfs has an array's module only; `whole` is one that has everything."""
    modules = "usr/lib/modules/6.1/kernel"
    (system / "boot").mkdir(exist_ok=True)
    (system / "lib/modules/6.1").mkdir(parents=True, exist_ok=True)
    (system / INITRD[1:]).write_bytes(packed(tmp_path, f"{modules}/raid1.ko", "sbin/mdadm"))
    whole = packed(tmp_path, f"{modules}/raid1.ko", f"{modules}/megaraid_sas.ko", "sbin/mdadm")
    (system / "whole").write_bytes(whole)
    return system


def tool(image: Path, program: str, does: str) -> None:
    path = image / program
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh\necho "$@" > /tmp/said\n{does}\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.mark.parametrize(
    ("program", "said", "config", "line"),
    [
        (
            "usr/sbin/update-initramfs",
            "-u -k 6.1",
            "usr/share/initramfs-tools/modules.d/swarmstrap",
            "\nmegaraid_sas\n",
        ),
        (
            "usr/bin/dracut",
            f"--force --kver 6.1 {INITRD}",
            "etc/dracut.conf.d/50-swarmstrap.conf",
            '\nadd_drivers+=" megaraid_sas "\nadd_dracutmodules+=" mdraid "\n',
        ),
        (
            "usr/bin/mkinitcpio",
            f"-k 6.1 -g {INITRD}",
            "etc/mkinitcpio.conf.d/50-swarmstrap.conf",
            "\nMODULES+=(megaraid_sas)\n",
        ),
    ],
)
def test_the_images_own_tool(program: str, said: str, config: str, line: str, image: Path) -> None:
    assert not made_here(image)
    tool(image, program, f"cp /whole {INITRD}")
    assert ready(STEP, image) == (
        f"{INITRD} was made anew by {TOOLS[program]}: it lacks megaraid_sas, needed by /dev/sda"
    )
    assert (image / "tmp/said").read_text() == f"{said}\n"
    assert (image / config).read_text() == f"# Written by Swarmstrap.{line}"
    assert made_here(image)
    assert mount_points(image) == []


def test_one_that_cannot_be_looked_into_is_made_anew(image: Path) -> None:
    (image / INITRD[1:]).write_bytes(b"\x02\x21\x4c\x18 lz4, of which nobody here knows")
    tool(image, "usr/sbin/update-initramfs", f"echo more >> {INITRD}")
    assert "it cannot be looked into (it begins with 02 21 4c 18)" in ready(STEP, image)


@pytest.mark.parametrize(
    ("does", "error"),
    [
        (f"touch -d @1 {INITRD}", "lacks megaraid_sas, needed by /dev/sda"),
        ("true", f"initramfs-tools left {INITRD} as it was"),
        ("echo no space left >&2; exit 1", "update-initramfs ended with status 1: no space left"),
    ],
)
def test_a_tool_that_does_not_help(does: str, error: str, image: Path) -> None:
    tool(image, "usr/sbin/update-initramfs", does)
    with pytest.raises(StepFailed, match=error):
        ready(STEP, image)
