# SPDX-License-Identifier: GPL-2.0-or-later
"""Disk images of other formats than raw: qcow2, VMDK, VHDX, and what else qemu-img reads."""

from pathlib import Path

import msgspec

from swarmstrap_server.images.source import CaptureFailed
from swarmstrap_server.run import run

_INFO_SECONDS = 60.0
_CHECK_SECONDS = 900.0
_CONVERT_SECONDS = 4 * 3600.0
# What qemu-img check says of a format that has nothing to check, and of clusters that are lost but
# do no harm.
_NOTHING_TO_CHECK, _LEAKS = 63, 3


class Info(msgspec.Struct, frozen=True, rename="kebab"):
    format: str
    virtual_size: int
    full_backing_filename: str = ""


def read_info(path: Path) -> Info:
    """Raises CaptureFailed for what is no image."""
    shown = run(
        ["qemu-img", "info", "--output=json", path.resolve()], timeout=_INFO_SECONDS, check=False
    )
    if shown.returncode:
        said = shown.stderr.strip().splitlines()
        raise CaptureFailed(
            f"{path} cannot be read: {said[-1] if said else 'qemu-img says nothing'}",
            hint="the image is damaged, or what it builds on is not there",
        )
    return msgspec.json.decode(shown.stdout, type=Info)


def convert(path: Path, info: Info, raw: Path, warnings: list[str]) -> None:
    """Write what the image holds to `raw`, a file of its size without data. Raises CaptureFailed
    when parts of it are missing, where qemu-img would give zeros.
    """
    source = path.resolve()
    checked = run(
        ["qemu-img", "check", "-f", info.format, source], timeout=_CHECK_SECONDS, check=False
    )
    if checked.returncode not in (0, _LEAKS, _NOTHING_TO_CHECK):
        said = (checked.stderr.strip() or checked.stdout.strip()).splitlines()
        raise CaptureFailed(
            f"{path} is damaged or cut off: {said[0] if said else 'qemu-img check fails'}",
            hint="get it again",
        )
    if info.full_backing_filename:
        warnings.append(f"{path} builds on {info.full_backing_filename}, which was read as well")
    convert = ["qemu-img", "convert", "-n", "--target-is-zero", "-S", "4k", "-f", info.format]
    run([*convert, "-O", "raw", str(source), str(raw)], timeout=_CONVERT_SECONDS)
