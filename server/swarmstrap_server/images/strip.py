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
        rb"etc/ssh/ssh_host_[^/]*_key(\.pub)?",
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
        "random-seeds",
        "remove",
        rb"var/lib/(systemd/(random-seed|credential\.secret)|urandom/random-seed)",
        "a secret that every clone knows is none",
    ),
    _rule(
        "dhcp-leases",
        "remove",
        rb"var/lib/(dhcp|dhclient|dhcpcd|NetworkManager)/.+",
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
        "rotated-logs",
        "remove",
        rb"var/log/journal/.+|var/log/.+\.(gz|xz|zst|bz2|old|[0-9]+)",
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
        rb"var/cache/(apt/archives/.+|apt/[^/]+\.bin|dnf/.+|yum/.+|zypp/.+)|var/lib/apt/lists/.+",
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
    _rule("shell-history", "remove", rb"(root|home/[^/]+)/\.[a-z]*_history", "belongs to a person"),
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
