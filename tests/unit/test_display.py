# SPDX-License-Identifier: GPL-2.0-or-later
"""What a person at the machine reads, line by line."""

import pytest

from swarmstrap.display import PARTS, WIDTH, Display, heading, numbered, part_of
from swarmstrap.wire import DRY_RUN, Event, Usage

MIB = 1 << 20


def event(kind: str, name: str = "do/image/8", time: float = 0.0, **values: object) -> Event:
    return Event(sequence=1, time=time, kind=kind, name=name, **values)  # type: ignore[arg-type]


def fetching(seconds: int) -> Display:
    """Ten seconds of fetching 40 MiB at 1 MiB a second, a quarter of it from the seeder."""
    display = Display()
    display.hear(event("start", description="fetch image debian 1"))
    for second in range(seconds + 1):
        display.hear(
            event(
                "progress",
                time=second,
                progress=second / 40,
                from_seeder=second * MIB // 4,
                from_peers=second * MIB * 3 // 4,
            )
        )
    return display


@pytest.mark.parametrize(
    ("name", "part"),
    [("look", "look"), ("do/disks/1", "disks"), ("do/bootloader/21", "bootloader")],
)
def test_names_of_events(name: str, part: str) -> None:
    assert part_of(name) == part


def test_a_new_part_says_how_long_the_last_one_took_and_where_we_are() -> None:
    display = Display()
    display.hear(event("start", "look", 1.0, description="look at the hardware"))
    lines = display.hear(event("start", "do/disks/1", 3.5, description="wipe /dev/vda"))
    assert lines == [
        "swarmstrap: look done in 2.5 s",
        "look ask decide say [DISKS] image configure hooks bootloader settle seed finish",
        "swarmstrap: wipe /dev/vda",
    ]
    assert display.hear(event("start", "do/disks/2", 4.0, description="write a GPT")) == [
        "swarmstrap: write a GPT"
    ]


def test_the_end_of_a_dry_run_is_no_part_of_the_board() -> None:
    display = Display()
    display.hear(event("start", "say", 1.0, description="say 9 steps"))
    assert display.hear(event("start", DRY_RUN, 1.5, description="dry run: stop here")) == [
        "swarmstrap: say done in 0.5 s",
        "swarmstrap: dry run: stop here",
    ]


def test_the_board_fits_whatever_the_part() -> None:
    for part in PARTS:
        display = Display(current=part)
        assert part.upper() in display.board()
        assert len(display.board()) < WIDTH


def test_progress_has_rate_time_left_and_what_peers_gave() -> None:
    assert fetching(10).status(10.0) == "[###---------]  25% 1 MiB/s, 0:30 left  peers 75%"


def test_progress_says_how_near_it_is_to_what_the_hardware_allows() -> None:
    display = fetching(10)
    usage = Usage(seconds=10.5, link_rate=MIB, cores=4, processor=8.0, disk=1.0)
    display.hear(event("progress", time=10.5, progress=0.25, from_peers=10 * MIB, usage=usage))
    assert display.status(10.5).endswith("  peers 100%  1.05 x node link")
    display.hear(event("start", "do/configure/9", 11.0, description="write /etc/fstab"))
    display.hear(event("progress", "do/configure/9", 12.0, progress=0.5))
    assert "node link" not in display.status(12.0)


def test_the_widest_progress_fits() -> None:
    display = Display()
    display.hear(event("start"))
    for second in (1, 2):
        usage = Usage(seconds=99.99 * second, best_rate=1023 * MIB)
        progress, came = 0.0001 * second, 1023 * MIB * second
        told = event("progress", time=second, progress=progress, from_peers=came, usage=usage)
        display.hear(told)
    line = display.status(2.0)
    assert line.endswith(" left  peers 100%  ~99.99 x node link")
    assert len(line) < WIDTH - 1


def test_the_rate_is_that_of_the_last_seconds() -> None:
    display = fetching(10)
    for second in range(11, 21):
        display.hear(
            event(
                "progress",
                time=second,
                progress=0.25,
                from_seeder=5 * MIB // 2,
                from_peers=15 * MIB // 2,
            )
        )
    assert " waiting " in display.status(20.0)


def test_what_is_left_after_the_last_piece_is_writing() -> None:
    assert "] 100% all here, writing  peers 75%" in fetching(40).status(60.0)


def test_a_step_without_progress_shows_its_age_and_never_wraps() -> None:
    display = Display()
    display.hear(event("start", "do/disks/3", 5.0, description="make ext4 on " + "x" * 100))
    assert display.status(17.2).startswith("make ext4 on xxx")
    assert len(display.status(17.2)) < WIDTH
    display.hear(event("start", "do/settle/9", 5.0, description="sync"))
    assert display.status(17.2) == "sync ... 12 s"


def test_a_failure_is_big_and_says_what_to_do() -> None:
    display = Display(node="node7")
    display.hear(event("start", "decide", description="check the image"))
    lines = display.hear(
        event(
            "finish",
            "decide",
            result="fail",
            description="no disk matches\n/dev/vda: size is 2 GiB",
            hint="attach one, or change the layout " * 4,
        )
    )
    assert lines[1] == lines[-1] == "!" * 79
    assert lines[2:5] == [
        "!!! FAILED: decide on node7",
        "!!! no disk matches",
        "!!! /dev/vda: size is 2 GiB",
    ]
    assert lines[5].startswith("!!! what to do: attach one,")
    assert all(len(line) < WIDTH for line in lines)
    assert display.status(100.0) == ""


def test_log_lines_keep_their_hint_and_their_width() -> None:
    display = Display()
    lines = display.hear(event("log", description="word " * 30, result="warning", hint="go on"))
    assert lines[0].startswith("swarmstrap: warning: word")
    assert lines[-1].endswith("(go on)")
    assert all(line.startswith("            ") for line in lines[1:])
    assert all(len(line) < WIDTH for line in lines)


def test_the_heading_names_what_a_person_looks_for() -> None:
    assert (
        "node node7   image debian 12.1   deployment d-1"
        in heading("node7", "debian 12.1", "d-1")[1]
    )


def test_a_plan_is_numbered_and_wrapped() -> None:
    lines = numbered(["wipe /dev/vda", "write " + "a word " * 20])
    assert lines[0] == "   1. wipe /dev/vda"
    assert lines[1].startswith("   2. write a word")
    assert lines[2].startswith("      word a")
    assert all(len(line) < WIDTH for line in lines)
