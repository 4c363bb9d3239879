# SPDX-License-Identifier: GPL-2.0-or-later
"""Extended attributes and ACLs as the tars of GNU, star, bsdtar and containers write them."""

import base64
from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

from swarmstrap.index import shown
from swarmstrap.units import MiB
from swarmstrap_server.images.attributes import ACL_RECORDS, acl_value, belongs
from swarmstrap_server.images.source import CaptureFailed
from swarmstrap_server.images.sources.tree import Tree

_PLAIN = "SCHILY.xattr."
_BSD = "LIBARCHIVE.xattr."
_LABEL = "RHT.security.selinux"
_RECORDS = {record.decode(): name for name, record in ACL_RECORDS.items()}

_MAX_ACCOUNTS = 4 * MiB

Xattrs = tuple[tuple[bytes, bytes], ...]
# Name of the kernel's attribute, and the ACL as text.
Texts = tuple[tuple[bytes, str], ...]


def read(records: Mapping[str, str]) -> tuple[Xattrs, Texts]:
    """Those of one member. Raises ValueError for what cannot be decoded."""
    found: dict[bytes, bytes] = {}
    for key, text in records.items():
        value = text.encode("utf-8", "surrogateescape")
        if key.startswith(_BSD):
            padded = value + b"=" * (-len(value) % 4)
            found.setdefault(unquote_to_bytes(key.removeprefix(_BSD)), base64.b64decode(padded))
        elif key == _LABEL:
            # The kernel keeps it with a NUL at its end.
            found.setdefault(b"security.selinux", value + b"\0")
    for key, text in records.items():
        if key.startswith(_PLAIN):
            name = key.removeprefix(_PLAIN).encode("utf-8", "surrogateescape")
            # GNU tar's escapes, the second of which makes the first one possible.
            name = name.replace(b"%3D", b"=").replace(b"%25", b"%")
            found[name] = text.encode("utf-8", "surrogateescape")
    kept = {
        name: value for name, value in found.items() if belongs(name) and name not in ACL_RECORDS
    }
    acls = ((_RECORDS[key], text) for key, text in records.items() if key in _RECORDS)
    return tuple(sorted(kept.items())), tuple(acls)


class Acls:
    """ACLs of a layer, which may name users that only the archive's own /etc/passwd knows."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._noted: dict[bytes, Texts] = {}

    def note(self, path: bytes, acls: Texts) -> None:
        """Those of the last member at `path` count."""
        if acls:
            self._noted[path] = acls
        else:
            self._noted.pop(path, None)

    def apply(self) -> None:
        """Give every file its ACLs. What no account is known for is left out, with a warning."""
        known: dict[str, dict[str, int]] = {}

        def account(kind: str, name: str) -> int:
            if kind not in known:
                known[kind] = _accounts(self._tree, kind)
            return known[kind][name]

        for path, texts in self._noted.items():
            for attribute, text in texts:
                try:
                    value = acl_value(text, account)
                except ValueError as error:
                    raise CaptureFailed(
                        f"{self._tree.name}: {shown(path)} has no proper ACL: {error}",
                        hint="make the archive again",
                    ) from error
                except LookupError as error:
                    self._tree.notes.append(
                        f"left out the ACL of {shown(path)}: the archive knows no {error.args[0]!r}"
                    )
                    continue
                if value is not None:
                    self._tree.add_attribute(path, attribute, value)


def _accounts(tree: Tree, kind: str) -> dict[str, int]:
    """The numbers of users or groups by name, as in passwd(5) and group(5)."""
    file = b"etc/passwd" if kind == "user" else b"etc/group"
    found = tree.look(file)
    if found is None or found.entry is None or found.entry.kind != "f":
        return {}
    with tree.open(found.entry) as data:
        lines = data.pread(_MAX_ACCOUNTS, 0).decode(errors="surrogateescape").splitlines()
    fields = (line.split(":") for line in lines)
    return {field[0]: int(field[2]) for field in fields if len(field) > 2 and field[2].isdecimal()}
