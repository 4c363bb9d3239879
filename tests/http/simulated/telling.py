# SPDX-License-Identifier: GPL-2.0-or-later
"""What a simulated node has told: its plan, and the events that led to where it is."""

from collections.abc import Iterator
from typing import Literal

from msgspec.structs import replace
from tests.http.simulated.courses import PAYLOAD

from swarmstrap.plan import make_plan
from swarmstrap.steps import Plan, phase
from swarmstrap.units import GiB
from swarmstrap.wire import Event, PlanReport, Result
from swarmstrap_server.app import Services
from swarmstrap_server.control.jobs import make_job


def tell_story(services: Services, node: str) -> None:
    """Gives a node that fetches its image the plan and the events that led there."""
    store = services.deployments.store
    latest, machine = store.latest_deployment(node), store.inventory(node)
    assert latest is not None
    assert machine is not None
    image = services.images.get(latest.image, latest.version)
    job = make_job(services.deployments.site, image.directory, latest, session="")
    manifest = replace(
        image.manifest, payload=replace(image.manifest.payload, size=PAYLOAD), unpacked=31 * GiB
    )
    plan = make_plan(machine, job, manifest)
    store.save_plan(latest.id, PlanReport(digest=plan.digest, lines=tuple(plan.lines())))
    store.add_event(node, said(0, latest.armed_at, "log", "server/armed", "armed"), latest.armed_at)
    for event in _story(plan, latest.started or latest.armed_at):
        store.add_event(node, event, event.time + 0.04)


def _story(plan: Plan, began: float) -> Iterator[Event]:
    """Up to the step that fetches the image, which has begun."""
    steps = [("look", "look at the hardware", 3.1), ("ask", "ask for the job", 0.4)]
    steps += [("decide", "decide what to do", 0.1), ("say", f"say {len(plan.steps)} steps", 0.2)]
    steps += [
        (f"do/{phase(step)}/{place}", str(step), 0.4 + 0.7 * place)
        for place, step in enumerate(plan.steps, start=1)
        if phase(step) == "disks"
    ]
    sequence, time = 0, began
    for name, description, seconds in steps:
        yield said(sequence + 1, time, "start", name, description)
        sequence, time = sequence + 2, time + seconds
        yield said(sequence, time, "finish", name)
    fetch = next(step for step in plan.steps if phase(step) == "image")
    yield said(sequence + 1, time, "start", "do/image/9", str(fetch))


def said(
    sequence: int,
    time: float,
    kind: Literal["start", "finish", "log"],
    name: str,
    description: str = "",
    result: Result = "",
) -> Event:
    return Event(
        sequence=sequence,
        time=time,
        kind=kind,
        name=name,
        description=description,
        result="success" if kind == "finish" and not result else result,
    )


def progress(sequence: int, time: float, part: float) -> Event:
    got = int(PAYLOAD * part)
    return Event(
        sequence=sequence,
        time=time,
        kind="progress",
        name="do/image/9",
        progress=part,
        from_seeder=got // 40,
        from_peers=got - got // 40,
    )
