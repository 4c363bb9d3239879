# SPDX-License-Identifier: GPL-2.0-or-later
"""A disk as bytes from its first sector to its last, whatever it is kept in."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from swarmstrap_server.images.source import CaptureFailed
from swarmstrap_server.images.sources.conversion import convert, read_info

_FORMATS = (b"QFI\xfb", b"KDMV", b"vhdxfile", b"conectix")
_VDI = b"\x7f\x10\xda\xbe"
# The magic number of btrfs is the one that comes last.
_HEAD = 65608


@dataclass(frozen=True, slots=True)
class RawDisk:
    """A raw image, or a block device; `path` is what is read, `name` what the user knows."""

    name: str
    path: Path
    size: int


@contextmanager
def raw_disk(path: Path, folder: Path, warnings: list[str]) -> Iterator[RawDisk]:
    """The disk that an image file of any format holds; another than raw is unpacked to a file
    without a name on the filesystem of `folder`.
    """
    if path.is_block_device():
        with _for_us(path) as file:
            yield RawDisk(str(path), path, os.lseek(file, 0, os.SEEK_END))
        return
    info = read_info(path)
    if info.format == "raw":
        yield RawDisk(str(path), path, path.stat().st_size)
        return
    with tempfile.TemporaryFile(dir=folder) as file:
        os.ftruncate(file.fileno(), info.virtual_size)
        raw = Path(f"/proc/{os.getpid()}/fd/{file.fileno()}")
        convert(path, info, raw, warnings)
        yield RawDisk(str(path), raw, info.virtual_size)


def looks_like_disk(path: Path) -> bool:
    """Whether a file is an image that `raw_disk` reads, by its first bytes."""
    if path.is_block_device():
        return True
    with path.open("rb") as file:
        head = file.read(_HEAD)
    formats = head.startswith(_FORMATS) or head[64:68] == _VDI
    tables = head[510:512] == b"\x55\xaa" or b"EFI PART" in (head[512:520], head[4096:4104])
    filesystems = (
        head[:4] == b"XFSB" or head[1080:1082] == b"\x53\xef" or head[65600:65608] == b"_BHRfS_M"
    )
    return formats or tables or filesystems


@contextmanager
def _for_us(device: Path) -> Iterator[int]:
    """Open while nothing on it is mounted."""
    try:
        file = os.open(device, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC)
    except OSError as error:
        raise CaptureFailed(
            f"{device} cannot be read as one disk: {error.strerror}",
            hint="unmount what is on it, or capture the files of the running system",
        ) from error
    try:
        yield file
    finally:
        os.close(file)
