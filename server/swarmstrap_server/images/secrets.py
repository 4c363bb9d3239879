# SPDX-License-Identifier: GPL-2.0-or-later
"""What every node would share that only one should know: found while the data are read anyway."""

import re

from swarmstrap.index import Entry, shown
from swarmstrap.units import KiB

# A key is small; the same words in a large file belong to a program that knows the format.
_MAX_KEY = 64 * KiB
_MARKS = (b"PRIVATE KEY-----", b"PuTTY-User-Key-File-")
# A marker on a line of its own with base64 or a header after it: documentation has only the marker.
_KEY = re.compile(
    rb"^-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----\r?\n(?:[A-Za-z0-9+/=]{16,}|[A-Za-z-]+: )"
    rb"|^PuTTY-User-Key-File-\d: ",
    re.MULTILINE,
)
# Most here came with a package: samples, and tests of programs. Everybody has them.
_PACKAGED = re.compile(rb"usr/(?:share|lib|lib64|src)/.*")
_SHADOW = b"etc/shadow"
# crypt(5): `$id$...`, or thirteen letters of the oldest kind, or `_` and nineteen.
_HASH = re.compile(rb"\$.+\$.+|[A-Za-z0-9./]{13}|_[A-Za-z0-9./]{19}")
_AUTHORIZED = re.compile(rb"(?:root|home/[^/]+)/\.ssh/authorized_keys2?|etc/ssh/authorized_keys.*")
# A connection of NetworkManager has its secrets in it.
_SECRET = re.compile(
    rb"^\s*(?:psk|password|wep-key\d|private-key-password|pin)=\s*\S", re.MULTILINE
)
_CONNECTION = re.compile(rb"etc/NetworkManager/system-connections/[^/]+")


class Secrets:
    """Shown the data of every file; `warnings` has a line for each that has a secret."""

    def __init__(self) -> None:
        self._found: list[str] = []
        self._packaged = 0

    @property
    def warnings(self) -> list[str]:
        if not self._packaged:
            return self._found
        where = "usr/lib, usr/share and usr/src, where packages have their samples"
        return [*self._found, f"private keys below {where}: {self._packaged}"]

    def look(self, entry: Entry, data: bytes) -> None:
        path = entry.path
        if path == _SHADOW:
            self._shadow(data)
        elif _AUTHORIZED.fullmatch(path):
            keys = sum(1 for line in data.splitlines() if line.strip() and line[:1] != b"#")
            if keys:
                self._warn(path, f"opens every node to SSH keys: {keys}")
        elif _CONNECTION.fullmatch(path) and _SECRET.search(data):
            self._warn(path, "has the password of a network")
        elif len(data) <= _MAX_KEY and any(mark in data for mark in _MARKS):
            self._key(path, data)

    def _key(self, path: bytes, data: bytes) -> None:
        if not _KEY.search(data):
            return
        if _PACKAGED.fullmatch(path):
            self._packaged += 1
        else:
            self._warn(path, "is a private key")

    def _shadow(self, data: bytes) -> None:
        accounts = [line.split(b":")[:2] for line in data.splitlines() if b":" in line]
        usable = [name for name, secret in accounts if _HASH.fullmatch(secret)]
        without = [name for name, secret in accounts if not secret]
        for names, what in (
            (usable, "the password hashes of"),
            (without, "no password at all for"),
        ):
            if names:
                told = ", ".join(shown(name)[1:-1] for name in names)
                self._warn(_SHADOW, f"has {what} {told}")

    def _warn(self, path: bytes, what: str) -> None:
        self._found.append(f"{shown(path)} {what}")
