# SPDX-License-Identifier: GPL-2.0-or-later
"""Snapshots on another machine that live as long as the connection that made them.

The script that takes them then reads its stdin. When that ends (the copy is complete, we were
killed, the network is gone) it removes them, so that nothing stays there.
"""

import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from swarmstrap.mountinfo import contains
from swarmstrap_server.images.remote.survey import PREPARE
from swarmstrap_server.images.remote.views import BtrfsSnapshot, Live, LvmSnapshot, Part, Views

PREFIX = "swarmstrap-"
# Said when all snapshots are there.
READY = b"==ready\n"
_SCRIPT = """\
finish() {{
    status=$?
    trap '' HUP INT TERM PIPE
{undo}
    rmdir "$hold" || status=1
    exit "$status"
}}
main() {{
    mkdir "$hold" || exit 1
    trap finish EXIT
    trap 'exit 1' HUP INT TERM PIPE
{take}
    echo "==ready"
    cat >/dev/null
}}
main
"""
# A snapshot beside what it shows changes the time of that directory; the next capture must not see
# that.
_TAKE_BTRFS = """\
    touch -r {point} "$hold/{number}" || exit 1
    btrfs subvolume snapshot -r {point} {snapshot} </dev/null >/dev/null || exit 1
    btrfs subvolume list -o {point} </dev/null | sed 's/^/{number}:/'
"""
_UNDO_BTRFS = """\
    if test -e {snapshot}; then
        btrfs subvolume delete {snapshot} </dev/null >/dev/null || status=1
        touch -m -r "$hold/{number}" {point}
    fi
    rm -f "$hold/{number}"
"""
# The journal is replayed into the snapshot.
_TAKE_LVM = """\
    lvcreate -y -s -n {name} {size} {volume} </dev/null >/dev/null || exit 1
    mkdir "$hold/{number}" || exit 1
    mount -t {filesystem} -o {options} {device} "$hold/{number}" || exit 1
"""
# A reader that was cut off from us takes a moment to end.
_UNDO_LVM = """\
    patience=30
    while grep -q " $hold/{number} " /proc/self/mountinfo && test "$patience" -gt 0; do
        umount "$hold/{number}" && break
        patience=$((patience - 1))
        sleep 1
    done
    test ! -d "$hold/{number}" || rmdir "$hold/{number}" || status=1
    if lvs {snapshot} >/dev/null 2>&1; then
        udevadm settle --timeout=10
        lvremove -f -y {snapshot} </dev/null >/dev/null || status=1
    fi
"""
_NESTED = re.compile(rb"^(\d+):ID .* path (.+)$", re.MULTILINE)
# XFS refuses to mount two filesystems with one UUID.
_OPTIONS = {"xfs": "ro,nouuid"}


@dataclass(frozen=True, slots=True)
class Snapshots:
    """The snapshots of one capture; `nonce` tells them from those of another."""

    views: Views
    nonce: str

    @property
    def needed(self) -> bool:
        return any(not isinstance(part.view, Live) for part in self.views.parts)

    def place(self, part: Part) -> bytes:
        """The directory to copy a part of the tree from."""
        wanted = os.path.normpath(self.views.path.rstrip(b"/") + part.inside)
        below = os.path.relpath(wanted, part.mount.point)
        match part.view:
            case Live():
                return wanted
            case BtrfsSnapshot():
                return os.path.normpath(os.path.join(self._subvolume(part), below))
            case LvmSnapshot():
                number = self.views.parts.index(part)
                mounted = os.fsencode(f"{self._hold}/{number}") + part.mount.root
                return os.path.normpath(os.path.join(mounted, below))

    def script(self) -> str:
        """POSIX sh for root. Before READY it prints what `nested` reads."""
        steps = [self._steps(number, part) for number, part in enumerate(self.views.parts)]
        take = "".join(take for take, _ in steps).rstrip("\n")
        undo = "".join(undo for _, undo in reversed(steps)).rstrip("\n")
        return f"{PREPARE}hold={self._hold}\n{_SCRIPT.format(take=take, undo=undo)}"

    def nested(self, said: bytes) -> Iterator[bytes]:
        """Subvolumes that no snapshot includes, by where they are in the tree."""
        mounts = {b"%d" % number: part.mount for number, part in enumerate(self.views.parts)}
        for number, path in _NESTED.findall(said):
            mount = mounts.get(number)
            if mount is None:
                continue
            point = os.path.join(mount.point, os.path.relpath(b"/" + path, mount.root))
            if contains(self.views.path, point):
                yield b"/" + os.path.relpath(point, self.views.path)

    @property
    def _hold(self) -> str:
        return f"/run/{PREFIX}{self.nonce}"

    def _subvolume(self, part: Part) -> bytes:
        return os.path.join(part.mount.point, os.fsencode(f".{PREFIX}{self.nonce}"))

    def _steps(self, number: int, part: Part) -> tuple[str, str]:
        """How the snapshot of a part is taken, and how it is removed."""
        match part.view:
            case Live():
                return "", ""
            case BtrfsSnapshot():
                point, snapshot = _quoted(part.mount.point), _quoted(self._subvolume(part))
                words = {"number": str(number), "point": point, "snapshot": snapshot}
                return _TAKE_BTRFS.format(**words), _UNDO_BTRFS.format(**words)
            case LvmSnapshot(volume, size):
                name = f"{PREFIX}{self.nonce}-{number}"
                words = {
                    "number": str(number),
                    "name": name,
                    "volume": shlex.quote(f"{volume.group}/{volume.name}"),
                    "snapshot": shlex.quote(f"{volume.group}/{name}"),
                    "device": shlex.quote(f"/dev/{volume.group}/{name}"),
                    # A thin volume's snapshot is not activated unless that is asked for.
                    "size": f"-L {size}b" if size else "-kn",
                    "filesystem": shlex.quote(part.mount.filesystem),
                    "options": _OPTIONS.get(part.mount.filesystem, "ro"),
                }
                return _TAKE_LVM.format(**words), _UNDO_LVM.format(**words)


def _quoted(path: bytes) -> str:
    return shlex.quote(os.fsdecode(path))
