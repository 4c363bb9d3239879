# SPDX-License-Identifier: GPL-2.0-or-later
"""What need not even be copied, since it would not get into an image: as patterns for rsync.

These never match more than the rules do, and often less: the rules have the last word.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from swarmstrap_server.images.strip import Rule, Strip

# What is large, or changes all the time. The file of last logins is as long as the highest user id
# makes it, and rsync reads holes too.
_PATTERNS: Mapping[str, tuple[bytes, ...]] = {
    "swap-files": (b"/swapfile", b"/swap.img", b"/swap/swapfile"),
    "crash-dumps": (b"/var/crash/*", b"/var/lib/systemd/coredump/*"),
    "user-caches": (b"/root/.cache/*", b"/home/*/.cache/*"),
    "temporary": (b"/tmp/*", b"/var/tmp/*", b"/run/*"),
    "rotated-logs": (b"/var/log/journal/*",),
    "logs": (b"/var/log/lastlog",),
    "package-caches": (b"/var/cache/apt/archives/*.deb",),
}
# What means the same to rsync, once its asterisks are doubled.
_PLAIN_GLOB = re.compile(r"[\w./ *+@~-]+")


def is_stripped(directory: bytes, rules: Sequence[Rule]) -> bool:
    """Whether a rule removes a directory, or one above it; `/` is the root of the tree."""
    strip = Strip(tuple(rules))
    names = directory[1:].split(b"/")
    above = (b"/".join(names[:depth]) for depth in range(1, len(names) + 1))
    return any(strip.action(path, "d") == "remove" for path in above)


def not_copied(rules: Iterable[Rule]) -> Iterator[bytes]:
    """For each rule; a pattern begins at the root of the tree."""
    for rule in rules:
        yield from _PATTERNS.get(rule.name, ())
        glob = rule.glob.strip("/")
        if _PLAIN_GLOB.fullmatch(glob):
            yield b"/" + os.fsencode(re.sub(r"\*+", "**", glob))
