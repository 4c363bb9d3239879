# SPDX-License-Identifier: GPL-2.0-or-later
"""Choosing disks: exactly as many must fit as are wanted, and every device hears why or why not."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from swarmstrap.errors import BadInput, Unplannable
from swarmstrap.hardware import Disk
from swarmstrap.hints import Hint, Match, parse_match
from swarmstrap.layout import DiskLayout, Prefer
from swarmstrap.units import human

# Device nodes (Documentation/admin-guide/devices.txt of Linux) that no system is installed on.
_NO_DISK = (
    (re.compile(r"/dev/(ram|zram)\d"), "RAM disk"),
    (re.compile(r"/dev/loop\d"), "loop device"),
    (re.compile(r"/dev/sr\d"), "optical drive"),
    (re.compile(r"/dev/fd\d"), "floppy drive"),
    (re.compile(r"/dev/nbd\d"), "network block device"),
    (re.compile(r"/dev/mtdblock\d"), "flash chip, which holds firmware"),
    (re.compile(r"/dev/mmcblk\d+(boot|rpmb|gp)\d*"), "area beside the disk of an eMMC"),
    (re.compile(r"/dev/nvme\d+c\d+n\d"), "one path of an NVMe namespace"),
)
# A stick that somebody left in the machine is only chosen by a hint that singles it out.
_NAMES_A_STICK = frozenset({"serial", "wwn", "by_path", "tran", "name"})
_NAMES_A_PLACE = frozenset({"hctl", "by_path"})
# The kernel's names of what is built on disks, and can be stopped.
_BUILT = re.compile(r"(dm-|md)\d+")
_LEG = re.compile(r"(\w+_raid_member) \((\w+)")
_WIDTH = 79


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the rules say of one device; `reason` is which of them took or rejected it."""

    disk: Disk
    chosen: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Selection:
    """What came of one disk entry of a layout, with a verdict on every device of the node."""

    id: str
    verdicts: tuple[Verdict, ...]

    @property
    def disks(self) -> tuple[Disk, ...]:
        return tuple(verdict.disk for verdict in self.verdicts if verdict.chosen)

    def table(self) -> tuple[str, ...]:
        return _table(self.verdicts)


def choose(
    layouts: Sequence[DiskLayout], disks: Sequence[Disk], *, skip: Sequence[Match] = ()
) -> tuple[Disk, ...]:
    """For each layout its disk, none of them twice; raises as `select` does."""
    return tuple(selection.disks[0] for selection in select(layouts, disks, skip=skip))


def select(
    layouts: Sequence[DiskLayout], disks: Sequence[Disk], *, skip: Sequence[Match] = ()
) -> tuple[Selection, ...]:
    """For each layout as many disks as its `count` says. A disk that fits an entry of `skip` is
    none of them.

    Raises Unplannable, with the table of all verdicts, unless exactly as many disks fit as are
    wanted or `prefer` picks them without a tie; and BadInput for a hint that has no meaning.
    """
    skipped = parse_skip(skip)
    selections: list[Selection] = []
    for layout in layouts:
        gone = {disk.name: earlier.id for earlier in selections for disk in earlier.disks}
        rules = _Rules(layout, parse_match(layout.match), disks, gone, skipped)
        selections.append(_decide(rules))
    return tuple(selections)


def parse_skip(skip: Sequence[Match]) -> tuple[tuple[Hint, ...], ...]:
    """Raises BadInput for an entry that has no meaning, or no key."""
    if any(not entry for entry in skip):
        raise BadInput("an empty entry would skip every disk", hint="give it a key, or remove it")
    return tuple(parse_match(entry) for entry in skip)


def verdict_lines(selections: Sequence[Selection]) -> Iterator[str]:
    """Which rule took or rejected each disk, for people."""
    for selection in selections:
        yield f"disk {selection.id}:"
        yield from selection.table()


def unfit(disk: Disk, disks: Sequence[Disk], *, release: bool = False) -> str | None:
    """Why nobody should install on `disk` of a node with `disks`, whatever hints say of it. Arrays,
    volume groups and LUKS volumes that run on it are no reason when they are to be released.
    """
    if kind := _no_disk(disk):
        return kind
    if disk.size == 0:
        return "no medium in it"
    if disk.read_only:
        return "read-only"
    if disk.boot_medium:
        return "the installer was started from it"
    if disk.multipath:
        return "one path of a multipath device"
    if disk.wwn and (other := _twin(disk, disks)):
        return f"the same disk as {other}, by another path"
    users = [user for user in disk.holders if not (release and _BUILT.fullmatch(user))]
    if users:
        return f"in use by {', '.join(users)}"
    return None


@dataclass(frozen=True, slots=True)
class _Rules:
    """What decides about the `disks` of a node for one layout; `gone` names who took a disk."""

    layout: DiskLayout
    hints: tuple[Hint, ...]
    disks: Sequence[Disk]
    gone: Mapping[str, str]
    skipped: tuple[tuple[Hint, ...], ...]

    def objection(self, disk: Disk) -> str | None:
        return next(self._objections(disk), None)

    def _objections(self, disk: Disk) -> Iterator[str]:
        """Every rule that rejects `disk`, weightiest first."""
        if reason := unfit(disk, self.disks, release=self.layout.wipe == "anything"):
            yield reason
        if disk.name in self.gone:
            yield f"{self.gone[disk.name]} of the layout took it"
        for entry in self.skipped:
            if all(hint.fits(disk) for hint in entry):
                yield f"the site skips it: {', '.join(map(str, entry))}"
        if self.layout.wipe != "anything" and (kind := _leg(disk)):
            yield f"leg of an array ({kind})"
        keys = self.layout.match.keys()
        if (disk.removable or disk.tran == "usb") and not keys & _NAMES_A_STICK:
            yield "removable, and no hint names its bus or serial"
        for hint in self.hints:
            if objection := hint.objection(disk):
                yield objection
        if not keys & _NAMES_A_PLACE and (twin := _twin(disk, self.disks)):
            yield f"same serial as {twin}, and no hctl or by_path tells"


def _no_disk(disk: Disk) -> str | None:
    return next((kind for pattern, kind in _NO_DISK if pattern.match(disk.name)), None)


def _twin(disk: Disk, disks: Sequence[Disk]) -> str | None:
    """A device of the same serial, WWN and size: most likely one disk, and two ways to it."""
    if not (disk.serial or disk.wwn):
        return None
    marks = (disk.serial, disk.wwn, disk.size)
    for other in disks:
        if other.name != disk.name and (other.serial, other.wwn, other.size) == marks:
            if not _no_disk(other):
                return other.name
    return None


def _leg(disk: Disk) -> str | None:
    """The kind of array whose superblock lies on the whole disk, not in one of its partitions."""
    for signature in disk.signatures:
        match = _LEG.match(signature)
        if match and disk.name == f"/dev/{match[2]}":
            return match[1]
    return None


def _decide(rules: _Rules) -> Selection:
    layout, disks, count = rules.layout, rules.disks, rules.layout.count
    objections = {disk.name: rules.objection(disk) for disk in disks}
    fitting = [disk for disk in disks if objections[disk.name] is None]
    chosen = _preferred(fitting, layout.prefer, count) if layout.prefer else fitting
    if len(chosen) != count:
        raise _refusal(layout, disks, objections, len(chosen))
    names = {disk.name for disk in chosen}
    took = f"the {layout.prefer} of {len(fitting)} that fit" if layout.prefer else "fits"
    if rules.hints:
        took += f": {', '.join(map(str, rules.hints))}"
    verdicts = (
        Verdict(disk, True, took)
        if disk.name in names
        else Verdict(disk, False, objections[disk.name] or f"is not the {layout.prefer}")
        for disk in disks
    )
    return Selection(layout.id, tuple(verdicts))


def _preferred(disks: Sequence[Disk], prefer: Prefer, count: int) -> list[Disk]:
    """The `count` least or greatest, and those of the same size as the last: a tie is more."""
    ordered = sorted(disks, key=lambda disk: disk.size, reverse=prefer == "largest")
    sizes = {disk.size for disk in ordered[:count]}
    return [disk for disk in ordered if disk.size in sizes]


def _refusal(
    layout: DiskLayout,
    disks: Sequence[Disk],
    objections: Mapping[str, str | None],
    found: int,
) -> Unplannable:
    count = layout.count
    if not disks:
        return Unplannable(
            f"no disk for {layout.id}: this node has none that its kernel can see",
            hint="look for devices without a driver in the inventory",
        )
    wanted = "exactly one" if count == 1 else str(count)
    if found < count:
        summary = f"no disk matches {layout.id}, of {len(disks)} seen"
        if found:
            summary = f"only {found} of the {count} disks of {layout.id} are there"
        release = layout.wipe == "anything"
        usable = any(unfit(disk, disks, release=release) is None for disk in disks)
        first = "loosen `match` in the layout" if usable else "change its disks"
        hint = f"{first}, or deploy to another node"
    elif layout.prefer:
        summary = f"{found} disks tie for {layout.id}: none is the {layout.prefer}"
        hint = "narrow `match` in the layout, by serial or by_path"
    else:
        summary = f"{found} disks match {layout.id}, where {wanted} must"
        hint = "narrow `match` in the layout, or say `prefer: smallest` or `prefer: largest`"
    rows = _table([Verdict(d, False, objections[d.name] or _matches(d)) for d in disks])
    return Unplannable("\n".join([summary, *rows]), hint=hint)


def _matches(disk: Disk) -> str:
    return f"matches ({disk.serial or 'no serial'}, {disk.model or 'no model'})"


def _table(verdicts: Sequence[Verdict]) -> tuple[str, ...]:
    """A line for every device, less than 80 columns wide; a star marks what was chosen."""
    names = max((len(verdict.disk.name) for verdict in verdicts), default=0)

    def row(verdict: Verdict) -> str:
        mark, disk = "*" if verdict.chosen else " ", verdict.disk
        line = f"{mark} {disk.name:<{names}} {human(disk.size):>10}  {verdict.reason}"
        return line if len(line) <= _WIDTH else f"{line[: _WIDTH - 3]}..."

    return tuple(map(row, verdicts))
