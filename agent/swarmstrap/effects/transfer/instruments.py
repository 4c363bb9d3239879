# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's counters of this machine, for `swarmstrap.gauges`: some twenty small files."""

import contextlib
import logging
import os
import stat
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from swarmstrap.command import CommandFailed
from swarmstrap.effects.disks.mounts import read_mounts
from swarmstrap.effects.hardware import sysfs
from swarmstrap.effects.images.unpack import Writers
from swarmstrap.effects.run import run
from swarmstrap.gauges import (
    Gauge,
    Reading,
    Schedule,
    parse_disk,
    parse_kernel,
    parse_link,
    parse_schedule,
    parse_user,
)
from swarmstrap.mountinfo import contains
from swarmstrap.wire import Usage

log = logging.getLogger(__name__)

_IP_SECONDS = 10.0
_MEGABIT = 10**6 // 8
_TICKS = os.sysconf("SC_CLK_TCK")


class Instruments:
    """Of a fetch that begins now: over the NIC that has `address`, to the filesystems mounted at
    `place` and below, or to the disk whose node that is. To be made in a thread: it runs `ip`.
    """

    def __init__(self, address: str, place: Path, writers: Writers) -> None:
        self._nic = sysfs.SYS / "class/net" / (_interface(address) or "lo")
        self._disks = disks_of(place)
        self._writers = writers
        cores = os.cpu_count() or 1
        self._gauge = Gauge(self._read(), link_rate=link_rate(self._nic), cores=cores)

    def usage(self) -> Usage:
        """Since the beginning; to be asked every second."""
        return self._gauge.take(self._read())

    def _read(self) -> Reading:
        with Path("/proc/stat").open() as file:
            kernel = parse_kernel(file.readline(), _TICKS)
        return Reading(
            time=time.monotonic(),
            # What comes through the loopback is everybody's.
            incoming=0
            if self._nic.name == "lo"
            else sysfs.number(self._nic / "statistics/rx_bytes"),
            kernel=kernel,
            user={os.getpid(): os.times().user, **dict(_user(self._writers.pids))},
            disks=dict(_busy(self._disks)),
            busy=self._writers.busy,
            threads=dict(_schedules("/proc/self/task", map(int, os.listdir("/proc/self/task")))),
            writers=dict(_schedules("/proc", self._writers.pids)),
        )


def _interface(address: str) -> str:
    """Its name; nothing when it cannot be told, for no deployment fails of a figure."""
    try:
        shown = run(["ip", "-json", "address", "show", "to", address], timeout=_IP_SECONDS)
    except CommandFailed as error:
        log.warning("the link is not measured: %s", error)
        return ""
    return parse_link(shown.stdout)


def _busy(disks: Iterable[Path]) -> Iterator[tuple[str, float]]:
    for disk in disks:
        with contextlib.suppress(OSError):  # it may have been pulled out
            yield disk.name, parse_disk((disk / "stat").read_text())


def _schedules(folder: str, threads: Iterable[int]) -> Iterator[tuple[int, Schedule]]:
    for thread in threads:
        with contextlib.suppress(OSError):  # it may have ended
            yield thread, parse_schedule(Path(f"{folder}/{thread}/schedstat").read_text())


def _user(processes: Iterable[int]) -> Iterator[tuple[int, float]]:
    for process in processes:
        with contextlib.suppress(OSError):
            yield process, parse_user(Path(f"/proc/{process}/stat").read_text(), _TICKS)


def link_rate(nic: Path) -> int:
    """Bytes a second of the cable at the NIC whose sysfs folder this is; 0 when it does not say.

    Without a device somewhere below, its speed is made up: a veth's is 10 Gbit/s.
    """
    return max(0, sysfs.number(nic / "speed")) * _MEGABIT if _has_cable(nic) else 0


def _has_cable(nic: Path) -> bool:
    return (nic / "device").exists() or any(map(_has_cable, nic.glob("lower_*")))


def disks_of(place: Path) -> frozenset[Path]:
    """The sysfs folders of the disks on which `place` lies, below arrays, volumes and partitions;
    none for what is no disk's.
    """
    return frozenset(disk for device in _devices(place) for disk in _whole_disks(device))


def _devices(place: Path) -> Iterator[int]:
    if stat.S_ISBLK((found := place.stat()).st_mode):
        yield found.st_rdev
        return
    top = os.path.realpath(os.fsencode(place))
    for mount in read_mounts():
        if contains(top, mount.point):
            # btrfs has device numbers of its own, and says where it was mounted from.
            with contextlib.suppress(OSError):
                source = os.stat(mount.source)
                if stat.S_ISBLK(source.st_mode):
                    yield source.st_rdev


def _whole_disks(device: int) -> Iterator[Path]:
    yield from _below((sysfs.SYS / f"dev/block/{os.major(device)}:{os.minor(device)}").resolve())


def _below(folder: Path) -> Iterator[Path]:
    whole = folder.parent if (folder / "partition").exists() else folder
    slaves = sorted((whole / "slaves").glob("*"))
    if slaves:
        for slave in slaves:
            yield from _below(slave.resolve())
    elif (whole / "stat").exists():
        yield whole
