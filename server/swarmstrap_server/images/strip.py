# SPDX-License-Identifier: GPL-2.0-or-later
"""What must not be cloned: identities, leases, logs, caches. Each rule has a name and a reason."""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import translate
from typing import Literal

from swarmstrap.errors import BadInput

Action = Literal["keep", "remove", "empty"]


@dataclass(frozen=True, slots=True)
class Rule:
    """`pattern` must match a whole path, relative to the root; `kinds` are those of the index,
    and `s` for a socket.

    `remove` leaves an entry and all below it out; `empty` keeps a file without its data. `glob` is
    what a person asked for.
    """

    name: str
    reason: str
    action: Literal["remove", "empty"]
    pattern: re.Pattern[bytes]
    kinds: str = "fdlcbps"
    glob: str = ""


def _rule(
    name: str,
    action: Literal["remove", "empty"],
    pattern: bytes,
    reason: str,
    kinds: str = "fdlcbps",
) -> Rule:
    return Rule(name, reason, action, re.compile(pattern, re.DOTALL), kinds)


# The first rule that matches decides.
RULES: tuple[Rule, ...] = (
    _rule(
        "machine-id",
        "empty",
        rb"etc/machine-id",
        "systemd makes a new one where it finds an empty file",
        kinds="f",
    ),
    _rule(
        "dbus-machine-id",
        "remove",
        rb"var/lib/dbus/machine-id",
        "D-Bus takes systemd's",
        kinds="f",
    ),
    _rule(
        "ssh-host-keys",
        "remove",
        rb"etc/ssh/ssh_host_[^/]*_key(\.pub)?"
        rb"|etc/dropbear(-initramfs|/initramfs)?/dropbear_[^/]*host_key",
        "nodes that share host keys can pose as each other",
    ),
    _rule(
        "host-ids",
        "remove",
        rb"etc/(hostid|nvme/(hostid|hostnqn)|iscsi/initiatorname\.iscsi|multipath/(wwids|bindings))"
        rb"|etc/lvm/(devices/system\.devices|archive/.+|backup/.+)",
        "storage servers and LVM tell machines and disks apart by them",
    ),
    _rule(
        "initramfs-needs",
        "remove",
        rb"usr/share/initramfs-tools/modules\.d/swarmstrap"
        rb"|etc/(dracut|mkinitcpio)\.conf\.d/50-swarmstrap\.conf",
        "they name what another machine needs to reach its root",
    ),
    _rule(
        "random-seeds",
        "remove",
        rb"var/lib/(systemd/(random-seed|credential\.secret)|urandom/random-seed|random-seed)"
        rb"|(boot|efi|boot/efi)/loader/random-seed",
        "a secret that every clone knows is none",
    ),
    _rule(
        "dhcp-leases",
        "remove",
        rb"var/lib/(dhcp|dhclient|dhcpcd|NetworkManager|wicked)/.+|etc/dhcpcd\.(duid|secret)",
        "a clone would ask for its model's address",
    ),
    _rule(
        "persistent-nics",
        "remove",
        rb"etc/udev/rules\.d/70-persistent-(net|cd)\.rules",
        "they name another machine's network cards",
    ),
    _rule(
        "resume-device",
        "remove",
        rb"etc/initramfs-tools/conf\.d/resume",
        "the node would wait at boot for another machine's swap",
    ),
    _rule(
        "cloud-init",
        "remove",
        rb"var/lib/cloud/.+",
        "what was done on first boot is to be done again",
    ),
    _rule(
        "cloud-network",
        "remove",
        rb"etc/netplan/50-cloud-init\.yaml|etc/network/interfaces\.d/50-cloud-init(\.cfg)?"
        rb"|etc/cloud/cloud\.cfg\.d/(50-curtin-networking|90-installer-network)\.cfg",
        "written by an installer for another machine's network cards",
    ),
    _rule(
        "subscriptions",
        "remove",
        rb"etc/sysconfig/rhn/systemid|etc/pki/(consumer|entitlement)/.+\.pem"
        rb"|etc/zypp/credentials\.d/SCCcredentials|etc/insights-client/machine-id"
        rb"|var/lib/ubuntu-advantage/private/.+",
        "every machine registers itself",
    ),
    _rule("pairings", "remove", rb"var/lib/bluetooth/.+", "keys of another machine's radio"),
    _rule(
        "swap-files",
        "remove",
        rb"swap\.img|swapfile|swap/swapfile",
        "memory of another machine, and a layout has its own swap",
        kinds="f",
    ),
    _rule(
        "crash-dumps",
        "remove",
        rb"var/crash/.+|var/lib/(systemd/coredump|apport/coredump)/.+",
        "memory of another machine",
    ),
    _rule(
        "account-backups",
        "remove",
        rb"etc/(passwd|shadow|group|gshadow|subuid|subgid)-",
        "older accounts and their password hashes",
    ),
    _rule(
        "rotated-logs",
        "remove",
        rb"var/log/journal/.+|var/log/.+\.(gz|xz|zst|bz2|old|[0-9]+)|var/lib/(lastlog|wtmpdb)/.+",
        "history of another machine",
    ),
    _rule(
        "logs",
        "empty",
        rb"var/log/.+",
        "history of another machine; programs expect the files and their owners",
        kinds="f",
    ),
    _rule(
        "package-caches",
        "remove",
        rb"var/cache/(apt/archives/.+|apt/[^/]+\.bin|(dnf|libdnf5|yum|zypp|pacman/pkg)/.+)"
        rb"|var/cache/PackageKit/.+|var/lib/(apt/lists|pacman/sync|snapd/cache)/.+",
        "package managers fetch them again",
        kinds="flcbp",
    ),
    _rule("temporary", "remove", rb"(tmp|var/tmp|run)/.+", "gone at the next boot anyway"),
    _rule("lost-and-found", "remove", rb"lost\+found", "belongs to the filesystem"),
    _rule(
        "container-marks",
        "remove",
        rb"\.dockerenv|run/\.containerenv",
        "systemd would believe that it runs in a container",
    ),
    _rule(
        "histories",
        "remove",
        rb"(root|home/[^/]+)/\.([a-z]*_history|lesshst|viminfo|wget-hsts)",
        "belongs to a person",
    ),
    _rule(
        "user-caches",
        "remove",
        rb"(root|home/[^/]+)/\.cache/.+",
        "programs make them again",
    ),
)


def chosen(keep: Iterable[str], globs: Iterable[str]) -> tuple[Rule, ...]:
    """All rules but those whose names are in `keep` (`all` are), and one for each glob of paths."""
    kept = set(keep)
    unknown = kept - {rule.name for rule in RULES} - {"all"}
    if unknown:
        names = ", ".join(rule.name for rule in RULES)
        raise BadInput(f"there is no rule {min(unknown)}", hint=f"there are: {names}, all")
    wanted = tuple(
        Rule(
            f"as asked, {glob}",
            "it was named",
            "remove",
            re.compile(os.fsencode(translate(glob.strip("/")))),
            glob=glob,
        )
        for glob in globs
    )
    return wanted + tuple(rule for rule in RULES if not kept & {rule.name, "all"})


class Strip:
    """Applies rules to a walk, and counts what they did."""

    def __init__(self, rules: tuple[Rule, ...] = RULES) -> None:
        self._rules = rules
        self._counts = dict.fromkeys(rules, 0)

    def action(self, path: bytes, kind: str) -> Action:
        for rule in self._rules:
            if kind in rule.kinds and rule.pattern.fullmatch(path):
                self._counts[rule] += 1
                return rule.action
        return "keep"

    def summary(self) -> tuple[str, ...]:
        """One line for each rule that found something."""
        return tuple(
            f"{rule.name}: {'removed' if rule.action == 'remove' else 'emptied'} {count}, "
            f"because {rule.reason}"
            for rule, count in self._counts.items()
            if count
        )
