# SPDX-License-Identifier: GPL-2.0-or-later
"""Everything that an image must keep of a tree, as lines of text, and what two trees differ in.

Also a program that needs nothing but Debian's python3-minimal, so that a deployed node can compare
itself with what was captured elsewhere:

    python3 comparing.py ROOT >description
    python3 comparing.py ROOT description       # prints the differences; exits 1 if there are any
"""

import hashlib
import os
import stat
import sys
from collections.abc import Iterator

# Path (relative to the root, which is b'') and attribute, both as text; to the value as text.
Description = dict[tuple[str, str], str]

# How xfs keeps an ACL; it shows the ACL itself as well.
_ALIASES = frozenset({"trusted.SGI_ACL_FILE", "trusted.SGI_ACL_DEFAULT"})
_CHUNK = 1 << 20
_BLOCK = 4096


def describe(root: str | os.PathLike[str]) -> Description:
    """Everything of every path below `root`; sockets are left out, since no image has them."""
    base = os.fsencode(root)
    first: dict[tuple[int, int], bytes] = {}
    found: Description = {}
    pending = [b""]
    while pending:
        path = pending.pop()
        status = os.lstat(base + path)
        if stat.S_ISSOCK(status.st_mode):
            continue
        if stat.S_ISDIR(status.st_mode):
            names = sorted(os.listdir(base + path), reverse=True)
            pending += [path + b"/" + name for name in names]
        elif status.st_nlink > 1:
            origin = first.setdefault((status.st_dev, status.st_ino), path)
            found[repr(path), "same file as"] = repr(origin)
            if origin != path:
                continue
        for attribute, value in _attributes(base + path, status):
            found[repr(path), attribute] = repr(value)
    return found


def differences(one: str | os.PathLike[str], other: str | os.PathLike[str]) -> list[str]:
    """One line for each thing of the tree `other` that is not as in `one`."""
    return compare(describe(one), describe(other))


def compare(expected: Description, found: Description) -> list[str]:
    paths, there = ({path for path, _ in side} for side in (expected, found))
    lines = [f"missing: {path}" for path in paths - there]
    lines += [f"too much: {path}" for path in there - paths]
    for path, attribute in expected.keys() | found.keys():
        if path in paths and path in there:
            wanted, value = (side.get((path, attribute)) for side in (expected, found))
            if wanted != value:
                lines.append(f"{path}: {attribute} is {value!s:.200}, not {wanted!s:.200}")
    return sorted(lines)


def write(description: Description) -> str:
    return "".join(f"{path}\t{name}\t{value}\n" for (path, name), value in description.items())


def read(text: str) -> Description:
    found: Description = {}
    for line in text.splitlines():
        path, attribute, value = line.split("\t")
        found[path, attribute] = value
    return found


def _attributes(path: bytes, status: os.stat_result) -> Iterator[tuple[str, object]]:
    yield "mode", oct(status.st_mode)
    yield "owner", (status.st_uid, status.st_gid)
    yield "mtime", status.st_mtime_ns
    for name in set(os.listxattr(path, follow_symlinks=False)) - _ALIASES:
        value = os.getxattr(path, name, follow_symlinks=False)
        yield f"xattr {os.fsencode(name)!r}", value if len(value) < 100 else _hash(value)
    if stat.S_ISREG(status.st_mode):
        yield "size", status.st_size
        extents = _extents(path, status.st_size)
        yield "extents", extents
        yield "data", _data(path, extents)
    elif stat.S_ISLNK(status.st_mode):
        yield "target", os.readlink(path)
    elif stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
        yield "device", (os.major(status.st_rdev), os.minor(status.st_rdev))


def _extents(path: bytes, size: int) -> list[tuple[int, int]]:
    """Begin and end of what is no hole."""
    extents = []
    with open(path, "rb", buffering=0) as file:
        end = 0
        while end < size:
            try:
                begin = os.lseek(file.fileno(), end, os.SEEK_DATA)
            except OSError:  # ENXIO: a hole up to the end
                break
            end = min(os.lseek(file.fileno(), begin, os.SEEK_HOLE), size)
            extents.append((begin, end))
    return extents


def _data(path: bytes, extents: list[tuple[int, int]]) -> str:
    """A hash of every block that is not all zeros, and of where it is."""
    digest = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:
        for begin, end in extents:
            for offset in range(begin - begin % _BLOCK, end, _CHUNK):
                chunk = os.pread(file.fileno(), min(_CHUNK, end - offset), offset)
                for place in range(0, len(chunk), _BLOCK):
                    block = chunk[place : place + _BLOCK]
                    if block.count(0) != len(block):
                        digest.update(b"%d:" % (offset + place) + block)
    return digest.hexdigest()


def _hash(value: bytes) -> str:
    return f"{len(value)} bytes {hashlib.sha256(value).hexdigest()}"


def main() -> int:
    root, *description = sys.argv[1:]
    if not description:
        sys.stdout.write(write(describe(root)))
        return 0
    with open(description[0], encoding="ascii") as file:
        lines = compare(read(file.read()), describe(root))
    print("\n".join(lines))
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
