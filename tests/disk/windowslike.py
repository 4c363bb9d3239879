# SPDX-License-Identifier: GPL-2.0-or-later
"""A disk as Windows lays it out, without Windows: ESP, an MSR without a filesystem, NTFS."""

import os
import random
import subprocess
from pathlib import Path

from swarmstrap.units import MiB

ESP = (1 * MiB, 64 * MiB)
MSR = (65 * MiB, 16 * MiB)
DATA = (81 * MiB, 160 * MiB)
SIZE = 256 * MiB
DELETED = b"a secret that was deleted "


def make(path: Path, folder: Path, *, more: int = 0) -> None:
    """`folder` is for the filesystems while they are made, and for the file `kept` that is in one
    of them. Disk, partition and file are `more` bytes larger than usual.
    """
    esp, data = folder / "esp.img", folder / "data.img"
    data_place = (DATA[0], DATA[1] + more)
    for image, (_, size) in ((esp, ESP), (data, data_place)):
        with image.open("wb") as file:
            file.truncate(size)
    _fill_esp(esp, folder)
    _fill_data(data, folder, 20 * MiB + more)
    with path.open("wb") as file:
        file.truncate(SIZE + more)
    table = "".join(
        f"start={start // 512}, size={size // 512}, type={kind}, name={name}\n"
        for (start, size), kind, name in (
            (ESP, "C12A7328-F81F-11D2-BA4B-00A0C93EC93B", "EFI"),
            (MSR, "E3C9E316-0B5C-4DB8-817D-F92DF00215AE", "MSR"),
            (data_place, "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7", "Basic"),
        )
    )
    subprocess.run(["sfdisk", "--quiet", path], input=f"label: gpt\n{table}", text=True, check=True)
    for image, (start, _) in ((esp, ESP), (data, data_place)):
        copy = ["dd", f"if={image}", f"of={path}", "bs=1M", f"seek={start // MiB}"]
        subprocess.run([*copy, "conv=notrunc,sparse", "status=none"], check=True)
        image.unlink()


def _fill_esp(image: Path, folder: Path) -> None:
    program = folder / "bootx64.efi"
    program.write_bytes(b"MZ" + random.Random(1).randbytes(300_000))
    subprocess.run(["mkfs.vfat", "-F", "32", "-n", "ESP", image], check=True, capture_output=True)
    subprocess.run(["mmd", "-i", image, "::EFI", "::EFI/BOOT"], check=True)
    subprocess.run(["mcopy", "-i", image, program, "::EFI/BOOT/BOOTX64.EFI"], check=True)


def _fill_data(image: Path, folder: Path, size: int) -> None:
    subprocess.run(
        ["mkntfs", "--quiet", "--force", "--fast", "--label", "Windows", image],
        check=True,
        capture_output=True,
    )
    kept = folder / "kept"
    kept.write_bytes(random.Random(2).randbytes(size))
    subprocess.run(
        ["ntfscp", "--quiet", "--force", image, kept, kept.name], check=True, capture_output=True
    )
    # What a deletion leaves: the data stay where they were, and the bitmap forgets them.
    with image.open("r+b") as raw:
        raw.seek(-4 * MiB, os.SEEK_END)
        raw.write(DELETED * (2 * MiB // len(DELETED)))
