# SPDX-License-Identifier: GPL-2.0-or-later
"""Trees for image tests: a small one, a nasty one, one of hard links."""

import os
import random
import socket
import stat
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

SECOND = 10**9
# The head of an ELF program for x86_64: enough to tell an image's architecture.
ELF_X86_64 = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HH", 3, 62)

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="owners and devices need root")

_ACL_USER = (
    (0x01, 6, 0xFFFFFFFF),
    (0x02, 4, 1000),
    (0x02, 7, 4242424),
    (0x04, 4, 0xFFFFFFFF),
    (0x08, 5, 70000),
    (0x10, 7, 0xFFFFFFFF),
    (0x20, 0, 0xFFFFFFFF),
)


@contextmanager
def scratch() -> Iterator[Path]:
    """A new folder on the disk of the work tree: older kernels' tmpfs has no user attributes."""
    base = Path("build/image-tests").resolve()
    base.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=base) as folder:
        path = Path(folder)
        path.chmod(0o755)
        yield path


def acl(entries: tuple[tuple[int, int, int], ...] = _ACL_USER) -> bytes:
    """An ACL as the kernel keeps it, of (tag, permissions, id)."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def many_links(root: Path, groups: tuple[int, ...]) -> None:
    """Files with so many names each, spread over directories, and data that fill some frames."""
    small_system(root)
    noise = random.Random(9)
    for group, names in enumerate(groups):
        first = root / f"{noise.randrange(16):x}" / f"first{group}"
        first.parent.mkdir(exist_ok=True)
        first.write_bytes(noise.randbytes(20_000))
        for number in range(1, names):
            other = root / f"{number % 97}" / f"{group}-{number}"
            other.parent.mkdir(exist_ok=True)
            os.link(first, other)


def small_system(root: Path) -> None:
    """As little as can be captured."""
    (root / "bin").mkdir(parents=True)
    (root / "bin/sh").write_bytes(ELF_X86_64 + b"shell")
    (root / "etc").mkdir()
    (root / "etc/os-release").write_text('ID=test\nPRETTY_NAME="Test 1"\nVERSION_ID=1\n')


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that a kind of filesystem holds: bytes of a symlink's target and of an attribute,
    and a device's minor number.
    """

    target: int
    attribute: int
    minor: int


# An ext4 has one block of attributes besides the inode, and other attributes are in it as well.
LIMITS = {
    "ext4": Limits(4000, 2000, 1048575),
    "xfs": Limits(1023, 65535, 262143),
    "btrfs": Limits(3900, 15000, 1048575),
}


def files(root: Path, *names: str) -> None:
    """Files that hold their own names."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)


def nasty_system(root: Path, limits: Limits = LIMITS["ext4"]) -> None:
    """One of everything that Linux can have in a filesystem, made by root."""
    small_system(root)
    base = os.fsencode(root)
    _names(base)
    _data(base)
    _specials(base, limits.minor)
    _links(base, limits.target)
    _attributes(base, limits.attribute)
    _times(base)


def _names(base: bytes) -> None:
    names = base + b"/names"
    os.mkdir(names)
    odd: tuple[bytes, ...] = (
        b"new\nline",
        b"\xff\xfe not utf-8",
        b"-rf",
        b"--checkpoint-action=exec=false",
        b" blank ",
    )
    odd += (
        "ümläut 名前".encode(),
        b"back\\slash",
        b"star*?[a]",
        b"n" * 255,
        b"\x01\x7f",
        b"a=b\n12 c=d",
    )
    for name in odd:
        _write(names + b"/" + name, name)
    for name in odd:
        os.mkdir(names + b"/dir" + name[:200])
        _write(names + b"/dir" + name[:200] + b"/file", b"in " + name)
    # Long paths, and more directories in one another than Python's stack has room for.
    for way in ((b"/%d" % n + b"d" * 150 for n in range(12)), (b"/d" for _ in range(700))):
        deep = names
        for name in way:
            deep += name
            os.mkdir(deep)
        _write(deep + b"/leaf", b"deep")
    os.mkdir(names + b"/empty directory")
    _write(names + b"/empty file", b"")


def _data(base: bytes) -> None:
    os.mkdir(base + b"/data")
    noise = random.Random(7)
    _write(base + b"/data/over frames", noise.randbytes(21 << 20))
    _write(base + b"/data/one frame exactly", noise.randbytes(8 << 20))
    for number in range(60):
        _write(base + b"/data/some%d" % number, noise.randbytes(noise.randrange(400_000)))
    _sparse(base + b"/data/sparse 1 TiB", 1 << 40, ((4096, b"x" * 4096), (1 << 39, b"y" * 8192)))
    _sparse(base + b"/data/only a hole", 1 << 30, ())
    _sparse(base + b"/data/data at the end", (1 << 20) + 5, ((1 << 20, b"end!!"),))
    parts = tuple((n << 22, noise.randbytes(1 << 20)) for n in range(12))
    _sparse(base + b"/data/sparse over frames", 60 << 20, parts)
    many = tuple((n << 14, b"%04d" % n * 1024) for n in range(300))
    _sparse(base + b"/data/many holes " + b"n" * 200, 300 << 14, many)


def _links(base: bytes, longest: int) -> None:
    os.mkdir(base + b"/links")
    os.link(base + b"/data/over frames", base + b"/links/to over frames")
    os.link(base + b"/data/sparse 1 TiB", base + b"/links/to sparse")
    os.link(base + b"/names/new\nline", base + b"/links/to \xff new\nline")
    os.link(base + b"/names/" + b"n" * 255, base + b"/links/" + b"m" * 255)
    targets = (b"/etc/passwd", b"../../../../outside", b"\xff\n", b"t" * longest, b"to sparse")
    for number, target in enumerate(targets):
        os.symlink(target, base + b"/links/symlink%d" % number)
    os.link(base + b"/links/symlink0", base + b"/links/z hard symlink", follow_symlinks=False)
    os.lchown(base + b"/links/symlink1", 12, 34)
    os.link(base + b"/dev/disk", base + b"/links/to disk")
    os.link(base + b"/dev/fifo", base + b"/links/to fifo")


def _specials(base: bytes, minor: int) -> None:
    os.mkdir(base + b"/dev")
    os.mknod(base + b"/dev/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod(base + b"/dev/disk", stat.S_IFBLK | 0o1660, os.makedev(259, minor))
    os.mkfifo(base + b"/dev/fifo", 0o620)
    os.chown(base + b"/dev/disk", 0, 6)
    with socket.socket(socket.AF_UNIX) as server:
        here = os.getcwd()
        os.chdir(base + b"/dev")  # a socket's path is short
        server.bind("log")
        os.chdir(here)
    modes = {b"setuid": 0o4755, b"setgid": 0o2711, b"none": 0, b"all": 0o7777, b"open": 0o666}
    for name, mode in modes.items():
        _write(base + b"/bin/" + name, name)
        os.chown(base + b"/bin/" + name, 1, 2)
        os.chmod(base + b"/bin/" + name, mode)
    os.setxattr(base + b"/dev/null", "system.posix_acl_access", acl())
    os.setxattr(base + b"/dev/fifo", "trusted.note", b"fifo")
    for name, mode in ((b"tmp", 0o1777), (b"shared", 0o2775), (b"locked", 0)):
        os.mkdir(base + b"/" + name)
        _write(base + b"/" + name + b"/inside", name)
        os.chown(base + b"/" + name, 3000000, 4294967290)
        os.chmod(base + b"/" + name, mode)


def _attributes(base: bytes, largest: int) -> None:
    os.mkdir(base + b"/attributes")
    file = base + b"/attributes/file"
    _write(file, b"file")
    os.setxattr(file, "user.plain", b"value")
    os.setxattr(file, "user.a=b%c", b"\0\n=\xff" * 20)
    os.setxattr(file, "user.empty", b"")
    os.setxattr(file, "user.large", random.Random(8).randbytes(largest))
    os.setxattr(file, "trusted.secret", b"t")
    os.setxattr(file, "security.selinux", b"system_u:object_r:etc_t:s0\0")
    os.setxattr(file, "system.posix_acl_access", acl())
    ping = base + b"/attributes/ping"
    _write(ping, b"ping")
    os.chown(ping, 5, 5)
    os.chmod(ping, 0o2755)
    os.setxattr(ping, "security.capability", struct.pack("<5I", 0x02000001, 1 << 13, 0, 0, 0))
    large = base + b"/data/over frames"
    os.setxattr(large, "security.capability", struct.pack("<5I", 0x02000001, 1 << 10, 0, 0, 0))
    os.chmod(large, 0o2755)
    os.symlink("file", base + b"/attributes/symlink")
    os.setxattr(base + b"/attributes/symlink", "trusted.note", b"link", follow_symlinks=False)
    directory = base + b"/attributes/directory"
    os.mkdir(directory)
    os.setxattr(directory, "system.posix_acl_access", acl())
    os.setxattr(directory, "system.posix_acl_default", acl())
    os.setxattr(directory, "user.note", b"kept")
    # Made after the default ACL, then freed from it: must come back without one.
    _write(directory + b"/inside", b"inside")
    os.removexattr(directory + b"/inside", "system.posix_acl_access")
    os.chmod(directory + b"/inside", 0o640)


def _times(base: bytes) -> None:
    os.mkdir(base + b"/times")
    times: tuple[int, ...] = (
        0,
        1,
        -1,
        -1_500_000_000,
        -2_000_000_000 * SECOND,
        1_700_000_000 * SECOND + 123456789,
    )
    times += ((1 << 31) * SECOND + 5, 15_000_000_000 * SECOND + 999999999)
    for number, time in enumerate(times):
        _write(base + b"/times/%d" % number, b"%d" % time)
        os.utime(base + b"/times/%d" % number, ns=(time, time))
    for number, path in enumerate((b"/times", b"/names", b"/dev/fifo", b"/links/symlink2", b"")):
        time = (1_000_000_000 + number) * SECOND + 7
        os.utime(base + path, ns=(time, time), follow_symlinks=False)


def _write(path: bytes, data: bytes) -> None:
    with open(path, "xb") as file:
        file.write(data)


def _sparse(path: bytes, size: int, parts: tuple[tuple[int, bytes], ...]) -> None:
    with open(path, "xb") as file:
        file.truncate(size)
        for offset, data in parts:
            os.pwrite(file.fileno(), data, offset)
