# SPDX-License-Identifier: GPL-2.0-or-later
"""What the dashboard's pages are made of, from values alone."""

import re
from pathlib import Path
from typing import get_args

import pytest
from msgspec.structs import replace
from tests.unit import making

from swarmstrap.limits import Demand, limit
from swarmstrap.steps import Phase
from swarmstrap.wire import Event
from swarmstrap_server import dashboard
from swarmstrap_server.control.nodes import PHASES, Deployment, node_state
from swarmstrap_server.control.operator_wire import NodeView, Record
from swarmstrap_server.dashboard import rollouts
from swarmstrap_server.dashboard import timeline as timelines
from swarmstrap_server.dashboard.cells import KINDS, LETTERS, MEANINGS, cell_of, kind_of_phase
from swarmstrap_server.dashboard.charts import area, bars, ticks
from swarmstrap_server.dashboard.fleet import fleet
from swarmstrap_server.dashboard.nodes import stages, told
from swarmstrap_server.dashboard.rates import KEPT_SECONDS, Rates, Sample
from swarmstrap_server.dashboard.swarms import swarms
from swarmstrap_server.dashboard.templating import duration, render, times
from swarmstrap_server.dashboard.timeline import batches, timeline

NOW = 1_800_000_000.0
ROOM = Path(dashboard.__path__[0])


def deployment(node: str = "n1", **words: object) -> Deployment:
    given = {"version": "12", "payload": 1000, "state": "active", "phase": "image"}
    times = {"until": NOW + 1000, "started": NOW - 90, "heard": NOW}
    return replace(making.deployment(f"id-{node}", node, NOW - 100, **given, **times), **words)


def view(latest: Deployment | None, name: str = "n1") -> NodeView:
    return making.node_view(name, node_state(True, latest), latest)


def test_every_kind_has_a_letter_a_meaning_and_a_colour() -> None:
    assert set(LETTERS) == set(MEANINGS) == set(KINDS)
    assert len({LETTERS[kind] for kind in KINDS}) == len(KINDS)
    style = (ROOM / "static" / "dashboard.css").read_text()
    coloured = set(re.findall(r'\[data-kind="(\w+)"\](?=[^{]*\{ --fill)', style))
    assert coloured == set(KINDS)


def test_the_page_explains_every_kind() -> None:
    page = (Path(__file__).parents[2] / "docs" / "dashboard.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (.) \| (.*) \|$", page, re.MULTILINE)
    assert rows == [(kind, LETTERS[kind], MEANINGS[kind]) for kind in KINDS]


def test_every_phase_is_of_a_kind() -> None:
    kinds = [kind_of_phase(phase) for phase in PHASES]
    assert list(dict.fromkeys(kinds)) == ["looking", "disks", "image", "finishing", "seeding"]
    assert kind_of_phase(get_args(Phase)[-1]) == "seeding"


@pytest.mark.parametrize(
    ("progress", "letter", "tenths"),
    [(None, "0", 0), (0.09, "0", 0), (0.43, "4", 4), (0.999, "9", 9), (1.0, "9", 10)],
)
def test_an_image_shows_its_tenths(progress: float | None, letter: str, tenths: int) -> None:
    cell = cell_of(view(deployment(progress=progress)), ("gpu",), NOW)
    assert (cell.kind, cell.letter, cell.tenths, cell.groups) == ("image", letter, tenths, ("gpu",))


def test_only_who_is_at_work_can_be_silent() -> None:
    quiet = NOW - 73
    assert cell_of(view(deployment(heard=quiet)), (), NOW).said.endswith("silent for 73 s")
    assert cell_of(view(deployment(heard=NOW - 59)), (), NOW).silent is False
    assert cell_of(view(deployment(state="deployed", heard=quiet)), (), NOW).silent is False


def test_failures_come_first_and_the_latest_on_top() -> None:
    nodes = [
        view(deployment("a", heard=NOW - 70), "a"),
        view(deployment("b", state="failed", ended=NOW - 50, reason="no disk"), "b"),
        view(deployment("c", state="failed", ended=NOW - 5, reason="no link"), "c"),
        view(deployment("d", heard=NOW - 500), "d"),
        view(None, "e"),
    ]
    shown = fleet(nodes, lambda name: ("r1",) if name < "c" else (), NOW)
    assert [trouble.node for trouble in shown.troubles] == ["c", "b", "d", "a"]
    numbers = {count.kind: count.number for count in shown.counts}
    assert (numbers["failed"], numbers["image"], numbers["ready"]) == (2, 2, 1)
    assert list(numbers) == list(KINDS)
    assert shown.groups == ("r1",)


def test_rates_are_the_difference_of_two_looks() -> None:
    rates = Rates()
    one = deployment(from_seeder=0, from_peers=0)
    rates.take([one], NOW)
    rates.take([replace(one, from_seeder=100, from_peers=900)], NOW + 2)
    assert rates.now == Sample(NOW + 2, 50.0, 450.0)
    assert rates.of(one.id) == 500.0
    # It tries again, and counts from nothing; then it is gone.
    rates.take([one], NOW + 4)
    assert rates.now == Sample(NOW + 4, 0.0, 0.0)
    rates.take([], NOW + 6)
    assert rates.of(one.id) is None


def test_who_received_nothing_for_half_a_minute_stands_still() -> None:
    rates = Rates()
    one = deployment(from_peers=500)
    for second in range(0, 28, 2):
        rates.take([one], NOW + second)
        assert rates.of(one.id) is None
    rates.take([one], NOW + 28)
    assert rates.of(one.id) == 0.0


def test_rates_forget_what_no_chart_shows() -> None:
    rates = Rates()
    for second in range(0, int(KEPT_SECONDS) + 100, 2):
        rates.take([], NOW + second)
    assert rates.samples[0].time == rates.samples[-1].time - KEPT_SECONDS


def test_a_swarm_names_who_will_be_last() -> None:
    rates = Rates()
    nodes = [
        deployment("fast", progress=0.8, from_peers=800),
        deployment("slow", progress=0.1, from_peers=100),
        deployment("stuck", progress=0.5, from_peers=500),
        deployment("done", fetched=True, phase="seed", from_seeder=500, from_peers=500),
        deployment("other", infohash="11" * 32, image="rocky"),
    ]
    rates.take(nodes, NOW)
    rates.take([replace(n, from_peers=n.from_peers + 700) for n in nodes[:2]] + nodes[2:], NOW + 28)
    first, second = swarms(nodes, rates, lambda payload: 64)
    assert [one.node for one in first.slowest] == ["stuck", "slow", "fast"]
    assert first.slowest[1].left == pytest.approx(36.0)
    assert (first.nodes, first.has_all, first.pieces) == (4, 1, 16)
    assert first.spread == (0, 1, 0, 0, 0, 1, 0, 0, 1, 0)
    assert first.copies == 0.5
    assert first.progress == pytest.approx(0.6)
    assert (second.title, second.slowest[0].left) == ("rocky:12", None)


def test_a_batch_is_what_was_armed_together() -> None:
    nodes = [
        deployment("a", state="deployed", ended=NOW - 10, phases={"image": 60.0, "disks": 4.0}),
        deployment("b", state="failed", ended=NOW - 40, reason="no disk", phases={"disks": 6.0}),
        deployment("c", armed_at=NOW - 5000, state="deployed", ended=NOW - 4000),
    ]
    latest, earlier = batches(nodes, NOW)
    assert (latest.nodes, latest.running, latest.seconds) == (2, False, 90.0)
    assert [(s.state, s.x, s.width) for s in latest.shares] == [
        ("deployed", 0, 50),
        ("failed", 50, 50),
    ]
    assert earlier.seconds == 1000.0
    shown = timeline(nodes[:2], NOW, whole=False)
    assert [row.node for row in shown.rows] == ["b", "a"]
    assert [(p.name, p.nodes, p.middle, p.longest) for p in shown.phases] == [
        ("disks", 2, 5.0, 6.0),
        ("image", 1, 60.0, 60.0),
    ]


def test_bars_lie_side_by_side_and_a_phase_under_way_grows() -> None:
    one = deployment(phases={"look": 10.0, "disks": 30.0}, started=NOW - 90)
    drawn = bars(one, 100.0, NOW)
    assert [(b.phase, b.x, b.width) for b in drawn] == [
        ("look", 0.0, 10.0),
        ("disks", 10.0, 30.0),
        ("image", 40.0, 50.0),
    ]


def test_the_chart_ends_with_now_and_is_as_high_as_the_most() -> None:
    samples = [Sample(NOW - 450, 25.0, 75.0), Sample(NOW, 10.0, 40.0)]
    drawn = area(samples, NOW, width=900, height=100)
    assert drawn.top == 100.0
    assert drawn.seeder.split()[:2] == ["450.0,75.0", "900.0,90.0"]
    assert drawn.peers.split()[:2] == ["450.0,0.0", "900.0,50.0"]


def test_the_chart_says_how_long_ago() -> None:
    assert [(tick.x, tick.minutes) for tick in ticks(width=900)] == [
        (0.0, 15),
        (300.0, 10),
        (600.0, 5),
    ]


def test_stages_tell_what_is_done_what_fails_and_what_is_ahead() -> None:
    failed = stages(deployment(state="failed", phase="disks", phases={"look": 2.0}))
    told = {stage.name: stage.status for stage in failed}
    assert (told["look"], told["disks"], told["image"]) == ("done", "failed", "ahead")
    assert {stage.status for stage in stages(deployment(state="deployed"))} == {"done"}
    assert {stage.status for stage in stages(deployment(state="armed", phase=""))} == {"ahead"}


def say(kind: str, name: str, time: float, **words: str) -> Record:
    event = Event(sequence=1, time=time, kind=kind, name=name, **words)  # type: ignore[arg-type]
    return Record(id=1, received=NOW, node="n1", event=event)


def test_what_ends_marks_the_line_that_began_it() -> None:
    lines = told(
        [
            say("start", "look", 10.0, description="look"),
            say("finish", "look", 13.5, result="success"),
            say("start", "do/disks/1", 14.0, description="wipe"),
            say("finish", "do/disks/1", 15.0, result="fail", description="no such disk"),
            say("start", "do/disks/1", 16.0, description="wipe"),
            say("log", "server/note", 17.0, description="something else"),
        ]
    )
    assert [(line.mark, line.text, line.seconds) for line in lines] == [
        ("done", "look", 3.5),
        ("failed", "wipe", 1.0),
        ("failed", "no such disk", None),
        ("runs", "wipe", None),
        ("said", "something else", None),
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0.0 s"), (9.94, "9.9 s"), (59.4, "59 s"), (247.0, "4:07"), (3729.0, "1:02:09")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_how_near_a_fetch_came_to_its_limit() -> None:
    assert times(limit(12.5, [Demand(resource="disk", seconds=10.0)])) == "1.25 × disk"
    guessed = Demand(resource="node link", seconds=10.0, estimated=True)
    assert times(limit(12.5, [guessed])) == "~1.25 × node link"
    assert times(None) == "–"


def test_each_state_of_a_bar_is_named_beside_its_colour() -> None:
    nodes = [
        deployment(state, state=state, armed_at=NOW) for state in ("deployed", "failed", "active")
    ]
    shown = render("parts/batches.html", history=rollouts.history((), (), nodes, NOW))
    drawn = re.findall(r'<rect data-state="(\w+)"', shown)
    assert drawn == re.findall(r'<i class="key" data-state="(\w+)"></i>1 (?=\1<)', shown)
    assert shown.count('<td data-word="by">–</td>') == 1
    style = (ROOM / "static" / "dashboard.css").read_text()
    coloured = set(re.findall(r'\[data-state="(\w+)"\](?=[^{]*\{ --fill)', style))
    assert coloured == {*timelines.STATES, *rollouts.STATES}


def test_what_a_node_says_cannot_become_markup() -> None:
    evil = '<script>alert(1)</script>" onfocus="x'
    shown = fleet([view(deployment(evil, state="failed", reason=evil), evil)], lambda _: (), NOW)
    values = {"fleet": shown, "pressed": frozenset(), "unheard": ()}
    for template in ("parts/troubles.html", "parts/counts.html"):
        assert "<script" not in render(template, **values)
    assert "&lt;script&gt;" in render("parts/troubles.html", **values)


def test_nothing_is_fetched_from_elsewhere_and_nothing_is_inline() -> None:
    for path in ROOM.rglob("*.*"):
        if path.suffix in (".html", ".js", ".css"):
            text = path.read_text()
            assert not re.search(r"https?://|(?<!:)//[a-z]+\.", text.replace("// SPDX", "")), path
            assert not re.search(r"\sstyle=|\son[a-z]+=|<style|<script>", text), path
