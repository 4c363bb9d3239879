# SPDX-License-Identifier: GPL-2.0-or-later
"""Which extended attributes belong to a system; and ACLs as text, which is how a tar keeps them."""

import re
import struct
from collections.abc import Callable, Iterator

_NAMESPACES = (b"user.", b"trusted.", b"security.")
# As the kernel and as a tar call them.
ACL_RECORDS = {
    b"system.posix_acl_access": b"SCHILY.acl.access",
    b"system.posix_acl_default": b"SCHILY.acl.default",
}
# Signed for one inode of one filesystem; and the inside of an ACL, which xfs shows as that too.
_BOUND = frozenset({b"security.evm", b"trusted.SGI_ACL_FILE", b"trusted.SGI_ACL_DEFAULT"})

# acl(5) as the kernel keeps it: a version, then (tag, permissions, id).
_VERSION = 2
_TAGS = {
    0x01: "user:",
    0x02: "user:{}",
    0x04: "group:",
    0x08: "group:{}",
    0x10: "mask:",
    0x20: "other:",
}
_PLAIN = {"user": 0x01, "group": 0x04, "mask": 0x10, "other": 0x20}
_NAMED = {"user": 0x02, "group": 0x08}
_MASK = 0x10
_NO_ID = 0xFFFFFFFF
_BITS = (("r", 4), ("w", 2), ("x", 1))
_ENTRY = re.compile(r"(user|group|mask|other|[ugmo]):([^:]*):([rwx-]{1,3})(?::(\d{1,10}))?")
# With these an ACL says no more than the mode.
_MINIMAL = [0x01, 0x04, 0x20]

# The number of the `user` or `group` of this name.
Accounts = Callable[[str, str], int]


def belongs(name: bytes) -> bool:
    """Whether an attribute is the system's, and not the filesystem's or another system's."""
    return (name.startswith(_NAMESPACES) or name in ACL_RECORDS) and name not in _BOUND


def acl_text(value: bytes) -> bytes:
    """An ACL attribute of the kernel as text for setfacl, with numeric ids.

    Raises ValueError for a version that is not the kernel's.
    """
    (version,) = struct.unpack_from("<I", value)
    if version != _VERSION:
        raise ValueError(f"ACL of version {version}")
    lines = []
    for tag, permissions, qualifier in struct.iter_unpack("<HHI", value[4:]):
        allowed = "".join(letter if permissions & bit else "-" for letter, bit in _BITS)
        lines.append(f"{_TAGS[tag].format(qualifier)}:{allowed}\n")
    return "".join(lines).encode()


def acl_value(text: str, accounts: Accounts) -> bytes | None:
    """The attribute for an ACL in any of the ways in which tars write one; None when it says no
    more than the mode. Raises ValueError for what is no ACL, LookupError from `accounts`.
    """
    entries = sorted(_acl_entries(text, accounts))
    tags = [tag for tag, _, _ in entries]
    if tags == _MINIMAL:
        return None
    # As the kernel's posix_acl_valid() wants it.
    said_once = len({(tag, who) for tag, _, who in entries}) == len(entries)
    if not said_once or not {*_MINIMAL, _MASK} <= set(tags):
        raise ValueError(
            "an ACL without its user, group, mask and other, or with one of them twice"
        )
    packed = (struct.pack("<HHI", *entry) for entry in entries)
    return struct.pack("<I", _VERSION) + b"".join(packed)


def _acl_entries(text: str, accounts: Accounts) -> Iterator[tuple[int, int, int]]:
    """(tag, permissions, id) of each entry."""
    for line in re.split(r"[,\n]", text):
        said = line.partition("#")[0].strip()
        if not said:
            continue
        match = _ENTRY.fullmatch(said)
        if match is None:
            raise ValueError(f"not an entry of an ACL: {said!r}")
        short, who, allowed, number = match.groups()
        word = next(name for name in _PLAIN if name.startswith(short))
        permissions = sum(bit for letter, bit in _BITS if letter in allowed)
        if not who:
            yield _PLAIN[word], permissions, _NO_ID
        elif word not in _NAMED:
            raise ValueError(f"not an entry of an ACL: {said!r}")
        else:
            known = number or (who if who.isdecimal() else "")
            yield _NAMED[word], permissions, int(known) if known else accounts(word, who)
