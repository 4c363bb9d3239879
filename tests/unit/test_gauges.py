# SPDX-License-Identifier: GPL-2.0-or-later
"""From the kernel's counters to what a fetch has taken of its node."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmstrap.effects.hardware import sysfs
from swarmstrap.effects.images.unpack import Writers
from swarmstrap.effects.transfer.instruments import Instruments, disks_of, link_rate
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

MIB = 1 << 20


def gauge(first: Reading) -> Gauge:
    return Gauge(first, link_rate=0, cores=2)


def test_only_what_was_used_since_the_beginning_counts() -> None:
    first = Reading(
        time=100.0,
        incoming=7 * MIB,
        kernel=1000.0,
        user={10: 20.0},
        disks={"sda": 50.0, "sdb": 900.0},
        threads={1: Schedule(30.0, 1.0)},
    )
    usage = gauge(first).take(
        Reading(
            time=110.0,
            incoming=27 * MIB,
            kernel=1005.0,
            user={10: 23.0, 7: 2.5, 8: 1.5},
            disks={"sda": 58.0, "sdb": 901.0},
            busy=9.0,
            threads={1: Schedule(34.0, 2.0), 2: Schedule(1.0, 0.0)},
            writers={7: Schedule(2.5, 0.5), 8: Schedule(1.5, 0.5)},
        )
    )
    assert (usage.seconds, usage.cores, usage.processor) == (10.0, 2, 12.0)
    assert (usage.own, usage.thread) == (9.0, 4.0)
    assert (usage.disk, usage.disk_wait) == (8.0, 4.0)
    assert usage.best_rate == 2 * MIB


def test_threads_and_writers_that_ended_have_still_worked() -> None:
    measured = gauge(Reading(time=0.0, threads={1: Schedule(1.0, 0.0)}))
    measured.take(
        Reading(time=1.0, threads={1: Schedule(3.0, 0.0)}, writers={7: Schedule(4.0, 0.0)})
    )
    usage = measured.take(Reading(time=2.0, busy=5.0))
    assert (usage.own, usage.thread, usage.disk_wait) == (6.0, 4.0, 1.0)


def test_what_is_not_there_is_not_known() -> None:
    usage = gauge(Reading(time=0.0)).take(Reading(time=1.0, disks={"new": 1.0}))
    assert (usage.disk, usage.disk_wait) == (None, None)


def test_the_best_second_is_one_second_at_least() -> None:
    measured = gauge(Reading(time=0.0))
    rates = [
        measured.take(Reading(time=time, incoming=incoming)).best_rate
        for time, incoming in ((0.1, 900), (1.0, 1000), (2.0, 4000), (6.0, 5000))
    ]
    assert rates == [0, 1000, 3000, 3000]
    hurried = gauge(Reading(time=0.0))
    hurried.take(Reading(time=1.0, incoming=1000))
    assert hurried.take(Reading(time=1.5, incoming=3000)).best_rate == 2000


@given(st.lists(st.tuples(st.floats(0.01, 5.0), st.integers(0, 10**9)), min_size=1))
def test_the_best_second_is_never_below_the_average(steps: list[tuple[float, int]]) -> None:
    measured, time, incoming, best = gauge(Reading(time=0.0)), 0.0, 0, 0
    for seconds, more in steps:
        time, incoming = time + seconds, incoming + more
        best = measured.take(Reading(time=time, incoming=incoming)).best_rate
    assert best >= int(incoming / time) or time < 1.0


def test_the_kernels_own_words() -> None:
    assert parse_schedule("1500000000 250000000 99\n") == Schedule(1.5, 0.25)
    assert parse_kernel("cpu  100 20 30 999 888 4 5 6 0 0\n", 100) == pytest.approx(0.45)
    stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 2 3 4 250 99 0 0 20 0 1"
    assert parse_user(stat, 100) == 2.5
    assert parse_disk("  1 0 8 0  2 0 16 1  0  2500 2600 0 0 0 0 0 0\n") == 2.5
    assert parse_link('[{},{"ifname":"eth0","addr_info":[{}]},{}]') == "eth0"
    assert parse_link("[]\n") == parse_link("") == ""


def test_a_speed_counts_where_there_is_a_cable(tmp_path: Path) -> None:
    def nic(name: str, speed: str) -> Path:
        (tmp_path / name).mkdir()
        (tmp_path / name / "speed").write_text(speed)
        return tmp_path / name

    real, veth, down = nic("eth0", "1000\n"), nic("veth0", "10000\n"), nic("eth1", "-1\n")
    for cabled in (real, down):
        (cabled / "device").mkdir()
    bond = nic("bond0", "2000\n")
    (bond / "lower_eth0").symlink_to(real)
    vlan = nic("bond0.5", "2000\n")
    (vlan / "lower_bond0").symlink_to(bond)
    rates = [link_rate(one) for one in (real, veth, down, bond, vlan)]
    assert rates == [125_000_000, 0, 0, 250_000_000, 250_000_000]


def test_a_disk_is_found_below_partitions_arrays_and_volumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """vg on md1p1 on sda1 and sdb, as sysfs shows it."""
    for folder in ("sda/sda1", "sdb", "md1/md1p1", "md1/slaves", "dm-0/slaves"):
        (tmp_path / "block" / folder).mkdir(parents=True)
    for whole in ("sda", "sdb", "md1", "dm-0"):
        (tmp_path / "block" / whole / "stat").touch()
    for part in ("sda/sda1", "md1/md1p1"):
        (tmp_path / "block" / part / "partition").write_text("1\n")
    for above, below in (("md1", "sda/sda1"), ("md1", "sdb"), ("dm-0", "md1/md1p1")):
        link = tmp_path / "block" / above / "slaves" / Path(below).name
        link.symlink_to(tmp_path / "block" / below)
    (tmp_path / "dev/block").mkdir(parents=True)
    monkeypatch.setattr(sysfs, "SYS", tmp_path)
    null = Path("/dev/null").stat().st_rdev
    (tmp_path / "dev/block/1:3").symlink_to(tmp_path / "block/dm-0")
    assert null == (1 << 8) + 3

    from swarmstrap.effects.transfer import instruments

    monkeypatch.setattr(instruments, "_devices", lambda place: iter([null]))
    assert {disk.name for disk in disks_of(Path("/dev/null"))} == {"sda", "sdb"}


def test_a_folder_in_somebody_elses_filesystem_has_no_disk_of_its_own(tmp_path: Path) -> None:
    assert disks_of(tmp_path) == frozenset()


async def test_this_machine_can_be_read(tmp_path: Path) -> None:
    writers = Writers.start(1)
    try:
        instruments = Instruments("127.0.0.1", tmp_path, writers)
        sum(range(2_000_000))
        usage = instruments.usage()
    finally:
        await writers.stop()
    assert 0 < usage.thread <= usage.own
    assert usage.own <= usage.seconds * usage.cores + 0.05
    assert (usage.link_rate, usage.best_rate, usage.disk) == (0, 0, None)
