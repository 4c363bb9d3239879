# SPDX-License-Identifier: GPL-2.0-or-later
"""What `swarmstrap watch` shows, as text."""

import io

from msgspec.structs import replace
from rich.console import Console, RenderableType
from tests.unit.making import deployment, node_view

from swarmstrap.wire import Event, Usage
from swarmstrap_server.commands.board import Board, line, live, result
from swarmstrap_server.control.limits import node_limit
from swarmstrap_server.control.nodes import Deployment
from swarmstrap_server.control.operator_wire import NodeView, Record, Snapshot

MIB = 1 << 20
RUNNING = deployment(
    "d",
    "n1",
    0.0,
    version="12.1",
    payload=200 * MIB,
    state="active",
    started=10.0,
    phase="image",
    progress=0.5,
    from_seeder=20 * MIB,
    from_peers=80 * MIB,
)
FAILED = replace(
    RUNNING,
    state="failed",
    node="n2",
    ended=25.5,
    phase="hooks",
    phases={"disks": 1.25, "hooks": 4.0},
    reason="hook 20-x exited 3",
    hint="look at the hook's output",
)


def record(view: NodeView, received: float = 0.0, **event: object) -> Record:
    fields = {"sequence": 1, "time": 0.0, "kind": "start", "name": "do/image/1", **event}
    return Record(
        id=1,
        received=received,
        node=view.name,
        event=Event(**fields),  # type: ignore[arg-type]
        view=view,
    )


def text(shown: RenderableType, width: int = 100) -> list[str]:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    with console.capture() as capture:
        console.print(shown)
    return [row.rstrip() for row in capture.get().splitlines()]


def board(*messages: Snapshot | Record, only: frozenset[str] = frozenset()) -> Board:
    board = Board(only)
    for message in messages:
        board.take(message)
    return board


SNAPSHOT = Snapshot(
    nodes=(
        node_view("n1", "deploying", RUNNING),
        node_view("n2", "failed", FAILED),
        node_view("n3", "ready"),
    )
)


def test_a_row_a_node_and_failures_below_with_what_to_do() -> None:
    rows = text(live(board(SNAPSHOT)))
    assert rows[0].split() == "node state progress rate limit seeder peers last event".split()
    assert rows[1].split()[:2] == ["n1", "image"]
    assert "20 MiB  80 MiB" in rows[1]
    assert rows[2].split()[:2] == ["n2", "failed"]
    assert rows[3].split() == ["n3", "ready"]
    assert rows[-2:] == [
        "n2 failed: hook 20-x exited 3",
        "  what to do: look at the hook's output",
    ]


def test_the_rate_is_that_of_the_last_seconds() -> None:
    records = [
        record(
            node_view("n1", "deploying", replace(RUNNING, from_peers=peers * MIB)),
            received,
            kind="progress",
            from_peers=peers * MIB,
        )
        for received, peers in ((0.0, 0), (8.0, 80), (9.0, 90), (10.0, 110))
    ]
    assert "15 MiB/s" in text(live(board(*records)))[1]


def test_progress_does_not_hide_the_last_event() -> None:
    node = node_view("n1", "deploying", RUNNING)
    shown = text(
        live(
            board(
                record(node, description="make ext4 on the root"),
                record(node, kind="progress", description="", progress=0.6),
            )
        )
    )
    assert "make ext4 on the root" in shown[1]


USED = replace(RUNNING, began=5.0, usage=Usage(seconds=11.0, link_rate=10 * MIB))
USED_TOO = replace(USED, id="e", node="n2", began=6.0)


def fetching(deployment: Deployment) -> NodeView:
    return replace(
        node_view(deployment.node, "deploying", deployment), limit=node_limit(deployment)
    )


def test_how_near_the_limit_each_node_is_and_all_are() -> None:
    watched = board(Snapshot(nodes=(fetching(USED), fetching(USED_TOO))))
    rows = text(live(watched), width=120)
    assert "1.10 x node link  20 MiB" in rows[1]
    together = "debian:12.1 to 2 nodes: 12.0 s, 1.09 x node link: node link 11.0 s"
    assert rows[4].startswith(together)
    for name in ("n1", "n2"):
        watched.rows[name].view = replace(watched.rows[name].view, state="deployed")
    rows = text(result(watched), width=120)
    assert rows[1].endswith("1.10 x node link")
    assert rows[4].startswith(together)
    alone = text(result(board(Snapshot(nodes=(fetching(USED),)))), width=120)
    assert len(alone) == 2


def test_it_fits_a_narrow_terminal() -> None:
    node = node_view("n1", "deploying", RUNNING)
    rows = text(live(board(record(node, description="x" * 300))), width=80)
    assert len(rows) == 2
    assert all(len(row) <= 80 for row in rows)


def test_text_of_a_node_is_no_markup() -> None:
    node = node_view("n1", "failed", replace(FAILED, node="n1", reason="[bold]no[/] disk"))
    assert "n1 failed: [bold]no[/] disk" in text(live(board(Snapshot(nodes=(node,)))))


def test_the_end_is_when_all_that_were_at_work_have_ended() -> None:
    done = replace(RUNNING, state="deployed", ended=99.0)
    last = record(node_view("n1", "deployed", done), kind="finish")
    assert [board().done, board(SNAPSHOT).done, board(SNAPSHOT, last).done] == [False, False, True]
    assert board(SNAPSHOT, last).failed == []


def test_nodes_that_were_named_and_ended_before_are_part_of_the_result() -> None:
    watched = board(SNAPSHOT, only=frozenset({"n2"}))
    assert watched.done
    assert watched.failed == ["n2"]
    rows = text(result(watched))
    assert rows[0].split() == "node image result seconds disks hooks seeder peers limit".split()
    assert rows[1].split()[:6] == ["n2", "debian:12.1", "failed", "15.5", "1.2", "4.0"]
    assert rows[-1] == "  what to do: look at the hook's output"


def test_a_dry_run_is_an_end_and_no_failure() -> None:
    planned = replace(RUNNING, state="planned", ended=12.0, reason="planned, nothing was written")
    watched = board(Snapshot(nodes=(node_view("n1", "planned", planned),)), only=frozenset({"n1"}))
    assert (watched.done, watched.failed) == (True, [])
    assert text(result(watched))[1].split()[:3] == ["n1", "debian:12.1", "planned"]


def test_lines_for_a_log() -> None:
    node = node_view("n1", "deploying", RUNNING)
    assert line(record(node, description="wipe it")) == "n1  do/image/1  wipe it"
    ended = record(node, kind="finish", result="success", description="wipe it")
    assert line(ended) == "n1  do/image/1  done: wipe it"
    silent = record(node, kind="finish", result="success", name="look", description="")
    assert line(silent) == "n1  look  done"
    failed = record(node, kind="finish", result="fail", description="no disk", hint="add one")
    assert line(failed) == "n1  do/image/1  FAILED no disk (add one)"
    assert line(record(node, kind="progress")) is None


TABLE = "2 disks match system\n  /dev/sda  matches\n  /dev/sdb  matches"


def test_a_table_of_reasons_stays_a_table() -> None:
    node = node_view("n1", "failed", replace(FAILED, node="n1", reason=TABLE))
    failed = record(node, kind="finish", name="decide", result="fail", description=TABLE, hint="h")
    assert line(failed) == f"n1  decide  FAILED {TABLE}\n(h)"
    rows = text(live(board(failed)))
    assert rows[1].endswith("2 disks match system")
    assert rows[3:6] == ["n1 failed: 2 disks match system", *TABLE.splitlines()[1:]]


def test_a_nodes_log_is_kept_for_the_node_and_not_shown_to_all() -> None:
    node = node_view("n1", "failed", replace(FAILED, node="n1"))
    failed = record(node, kind="finish", result="fail", description="no disk")
    excerpt = record(node, kind="log", name="log", description="run: lsblk\nran: lsblk")
    assert line(excerpt) is None
    assert text(live(board(failed, excerpt)))[1].endswith("no disk")


def test_an_arming_that_expired_is_told_at_the_end() -> None:
    armed = record(node_view("n1", "armed"), kind="log", name="server/armed", description="armed")
    expired = record(
        node_view("n1", "ready"),
        kind="log",
        name="server/expired",
        result="fail",
        description="the arming expired",
        hint="arm again",
    )
    watched = board(armed, expired)
    assert watched.failed == ["n1"]
    assert text(result(watched))[-2:] == [
        "n1 failed: the arming expired",
        "  what to do: arm again",
    ]


def test_events_that_come_together_are_all_shown_before_the_end() -> None:
    deploying = node_view("n1", "deploying", RUNNING)
    failed = node_view("n1", "failed", replace(FAILED, node="n1"))
    reason = replace(record(deploying, kind="finish", result="fail"), view=None)
    watched = board(Snapshot(nodes=(deploying,)), reason)
    assert not watched.done
    watched.take(record(failed, kind="log", description="rebooting in 30 s"))
    assert watched.done
