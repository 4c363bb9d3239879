# SPDX-License-Identifier: GPL-2.0-or-later
"""What an update leaves alone: patterns of paths, an operator's and our own. Pure.

A pattern is a path of the installed system in which `*`, `?` and `[...]` stand for anything but a
slash; it covers what it matches and everything below. docs/update.md says the same in a table.
"""

import re
from collections.abc import Iterable

from swarmstrap.errors import BadInput

# An operator's unless the site says otherwise: what people and services keep on a node.
DEFAULT = ("/home", "/srv", "/mnt", "/media")

# Made by the kernel, at every boot, or by the tools of the filesystem and the boot loader.
_NEVER = (
    *(f"/{place}/*" for place in ("dev", "proc", "sys", "run", "tmp", "var/tmp")),
    *(f"{place}/lost+found" for place in ("", "/*", "/*/*")),
    *("/boot/efi", "/boot/grub", "/boot/grub2"),
    *("/.swarmstrap-staging", "/var/lib/swarmstrap"),
)
# What makes this node itself; capture strips the same from an image (images/strip.py).
_IDENTITY = (
    *("/etc/machine-id", "/var/lib/dbus/machine-id", "/etc/hostid"),
    *("/etc/ssh/ssh_host_*_key*", "/etc/dropbear*/dropbear_*host_key"),
    "/etc/dropbear/initramfs/dropbear_*host_key",
    *("/etc/nvme/hostid", "/etc/nvme/hostnqn", "/etc/iscsi/initiatorname.iscsi"),
    *("/etc/multipath/wwids", "/etc/multipath/bindings", "/etc/lvm/devices/system.devices"),
    *("/etc/lvm/archive/*", "/etc/lvm/backup/*", "/etc/initramfs-tools/conf.d/resume"),
    "/usr/share/initramfs-tools/modules.d/swarmstrap",
    *(f"/etc/{name}.conf.d/50-swarmstrap.conf" for name in ("dracut", "mkinitcpio")),
    *(f"/var/lib/{name}" for name in ("systemd/random-seed", "systemd/credential.secret")),
    *(f"/var/lib/{name}" for name in ("urandom/random-seed", "random-seed")),
    *(f"{place}/loader/random-seed" for place in ("/boot", "/efi")),
    *(f"/var/lib/{name}/*" for name in ("dhcp", "dhclient", "dhcpcd", "NetworkManager")),
    *(f"/var/lib/{name}/*" for name in ("wicked", "cloud", "bluetooth")),
    *("/etc/dhcpcd.duid", "/etc/dhcpcd.secret", "/etc/udev/rules.d/70-persistent-*.rules"),
    *("/etc/netplan/50-cloud-init.yaml", "/etc/network/interfaces.d/50-cloud-init*"),
    "/etc/cloud/cloud.cfg.d/50-curtin-networking.cfg",
    "/etc/cloud/cloud.cfg.d/90-installer-network.cfg",
    *("/etc/sysconfig/rhn/systemid", "/etc/pki/consumer/*.pem", "/etc/pki/entitlement/*.pem"),
    *("/etc/zypp/credentials.d/SCCcredentials", "/etc/insights-client/machine-id"),
    *("/var/log/*", "/var/crash/*", "/.dockerenv"),
    *("/swapfile", "/swap.img", "/swap/swapfile"),
    *(f"/etc/{name}-" for name in ("passwd", "shadow", "group", "gshadow", "subuid", "subgid")),
)
# Here services keep what they make: the image's files are the image's, and what it does not have
# stays. A package manager's database is none of that: it says what the image's files are.
_GROWING = (
    *(f"/var/{name}" for name in ("lib", "cache", "spool", "mail", "opt", "backups")),
    "/root",
)
_DATABASES = ("/var/lib/dpkg", "/var/lib/rpm", "/var/lib/pacman")

_PATTERN = re.compile(r"/[^\0\n]*[^\0\n/]")


class Rules:
    """`patterns` come on top of our own. Paths are an index's: bytes, without a leading slash."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._untouched = _matcher((*_NEVER, *_IDENTITY, *patterns))
        self._growing = _matcher(_GROWING)
        self._databases = _matcher(_DATABASES)

    @classmethod
    def nothing(cls) -> "Rules":
        """Everything is the image's."""
        rules = cls(())
        rules._untouched = rules._growing = _matcher(())
        return rules

    def untouched(self, path: bytes) -> bool:
        """Whether `path`, once it is there, is neither changed nor removed."""
        return self._untouched.fullmatch(path) is not None

    def may_add(self, path: bytes) -> bool:
        """Whether `path` stays when the image does not have it."""
        return bool(self._growing.fullmatch(path)) and not self._databases.fullmatch(path)


def check_pattern(pattern: str) -> str:
    """`pattern`, when it is one; raises BadInput otherwise."""
    parts = pattern.split("/")
    if not _PATTERN.fullmatch(pattern) or ".." in parts or "." in parts or "" in parts[1:]:
        raise BadInput(
            f"cannot preserve {pattern!r}: not a path of the installed system",
            hint="write it as in /opt/data or /etc/ssl/private/*.key",
        )
    return pattern


def _matcher(patterns: Iterable[str]) -> re.Pattern[bytes]:
    every = b"|".join(_expression(pattern) for pattern in patterns)
    return re.compile(rb"(?:%s)(?:/.*)?" % every, re.DOTALL)


def _expression(pattern: str) -> bytes:
    found = re.findall(r"\*|\?|\[!?\]?[^]]*\]|.", pattern.removeprefix("/"), re.DOTALL)
    return b"".join(_part(part) for part in found)


def _part(part: str) -> bytes:
    match part:
        case "*":
            return b"[^/]*"
        case "?":
            return b"[^/]"
        case _ if len(part) > 2:
            text = part.encode(errors="surrogateescape").replace(b"\\", b"\\\\")
            return b"(?!/)" + text.replace(b"[!", b"[^", 1)
        case _:
            return re.escape(part.encode(errors="surrogateescape"))
