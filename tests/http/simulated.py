# SPDX-License-Identifier: GPL-2.0-or-later
"""A thousand nodes in the middle of their deployment, written into a real store.

Each node goes through the phases at its own pace, and where it is follows from the time alone.
"""

import dataclasses
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import quote_from_bytes

import msgspec
from msgspec.structs import replace
from tests.http.conftest import Live

from swarmstrap.hardware import FoundPartition, Inventory, Neighbour
from swarmstrap.plan import make_plan
from swarmstrap.steps import Plan, phase
from swarmstrap.units import GiB, MiB
from swarmstrap.wire import Event, PlanReport, Result, Usage
from swarmstrap_server.app import Services
from swarmstrap_server.control.deployments import Deployments
from swarmstrap_server.control.identity import marks_of_inventory
from swarmstrap_server.control.jobs import make_job, new_deployment
from swarmstrap_server.control.nodes import Deployment
from swarmstrap_server.control.operator_wire import Arm
from swarmstrap_server.control.store import SeenNode
from swarmstrap_server.rollouts.keeping import Kept
from swarmstrap_server.rollouts.values import Member, MemberState, Order, Rollout
from swarmstrap_server.swarm.seeder import Report
from swarmstrap_server.swarm.seeding import Seeding

RACK = 50
OPERATOR = "night-shift"
PAYLOAD = 14 * GiB
# Bytes a second: 10 Gbit/s of the server, 1 Gbit/s of a node.
UPLINK = 1_250_000_000
LINK = 125_000_000
HELD = (
    FoundPartition(
        number=1,
        start=MiB,
        size=512 * MiB,
        type="c12a7328-f81f-11d2-ba4b-00a0c93ec93b",
        name="ESP",
        filesystem="vfat",
    ),
    FoundPartition(
        number=2,
        start=513 * MiB,
        size=886 * GiB,
        type="0fc63daf-8483-4772-8e79-3d69d8477de4",
        name="root",
        filesystem="ext4",
        label="root",
    ),
)
HOLDS = ("gpt", "vfat (nvme0n1p1, label ESP)", "ext4 (nvme0n1p2, label root)")
_INVENTORY = Path(__file__).parents[1] / "inventories" / "nvme-only.json"
_FAILURES = (
    (
        "disks",
        "no disk matches {tran: nvme, size: '>= 500GiB'}",
        "the table on the node's console says what rejected each disk; see swarmstrap plan",
    ),
    (
        "image",
        "/dev/nvme0n1: cannot write 8 MiB at 41.2 GiB: Input/output error",
        "replace the disk, then swarmstrap deploy to this node again",
    ),
    ("hooks", "hook 20-monitoring ended with status 1: cannot resolve puppet.example", ""),
)


def mac(number: int) -> str:
    return f"52:54:00:aa:{number >> 8:02x}:{number & 255:02x}"


def name(number: int) -> str:
    return f"n{number:04}"


def node_files(nodes: int) -> tuple[str, str]:
    """nodes/lab.yaml and groups.yaml of so many nodes in racks of RACK."""
    racks = [range(first, min(first + RACK, nodes + 1)) for first in range(1, nodes + 1, RACK)]
    entries = [
        f"- {{name: 'n[{rack[0]:04}-{rack[-1]:04}]', rack: r{place:02}, "
        f"mac: [{', '.join(repr(mac(number)) for number in rack)}]}}"
        for place, rack in enumerate(racks, start=1)
    ]
    gpu = max(1, nodes // 5)
    groups = (
        f"groups:\n- {{name: gpu, members: ['n[0001-{gpu:04}]']}}\n"
        f"- {{name: compute, members: ['n[{gpu + 1:04}-{nodes:04}]']}}\n"
    )
    return "\n".join(("nodes:", *entries, "")), groups


def inventory(number: int) -> Inventory:
    machine = msgspec.json.decode(_INVENTORY.read_bytes(), type=Inventory)
    port = Neighbour(
        chassis_id="00:1c:73:00:00:01",
        port_id=f"Ethernet{number % RACK}",
        system_name=f"sw-r{number // RACK + 1:02}",
    )
    first, *_ = machine.interfaces
    nic = replace(first, mac_address=mac(number), permanent_mac="", speed_mbps=1000, lldp=port)
    disks = tuple(
        replace(disk, serial=f"S4EV{number:04}{place}", partitions=HELD, signatures=HOLDS)
        if place == 0
        else replace(disk, serial=f"S4EV{number:04}{place}")
        for place, disk in enumerate(machine.disks)
    )
    return replace(
        machine,
        boot=replace(machine.boot, pxe_interface=mac(number), secure_boot=False),
        system_vendor=replace(machine.system_vendor, uuid="", serial_number=f"S{number:07}"),
        disks=disks,
        interfaces=(nic,),
    )


@dataclass(frozen=True)
class Course:
    """One node's way: seconds after the order at which it takes its job, and in each phase."""

    begins: float
    phases: tuple[tuple[str, float], ...]
    fails: tuple[str, str, str] | None
    stops: float | None

    def at(self, armed: Deployment, seconds: float) -> Deployment:
        """The deployment so many `seconds` after its order."""
        spent = seconds - self.begins
        if spent < 0:
            return armed
        began = armed.armed_at + self.begins
        if self.stops is not None:
            spent = min(spent, self.stops)
        active = replace(
            armed, state="active", started=began, uplink=UPLINK, heard=began + spent, sequence=0
        )
        done: dict[str, float] = {}
        for name, takes in self.phases:
            part = min(1.0, spent / takes)
            active = replace(active, phase=name, progress=None)
            if name == "image":
                active = _fetched(active, part, takes)
            if self.fails and name == self.fails[0] and part > 0.4:
                ended = began + sum(done.values()) + 0.4 * takes
                return _failed(replace(active, phases=done), self.fails, ended)
            if part < 1.0:
                return replace(active, phases=done, step_began=0.0)
            done = {**done, name: takes}
            spent -= takes
        ended = began + sum(done.values())
        return replace(active, phases=done, state="deployed", ended=ended, heard=ended)


def courses(nodes: int, seed: int = 7) -> Iterator[Course]:
    """They start in windows, rack after rack, as power allows."""
    chance = random.Random(seed)
    for number in range(nodes):
        slow = 2.6 if chance.random() < 0.03 else 1.0
        fetch = 150 * slow * chance.uniform(0.85, 1.25)
        phases = (
            ("look", chance.uniform(2, 4)),
            ("ask", 0.6),
            ("decide", 0.2),
            ("say", 0.3),
            ("disks", chance.uniform(6, 14)),
            ("image", fetch),
            ("configure", chance.uniform(2, 5)),
            ("hooks", chance.uniform(3, 25)),
            ("bootloader", chance.uniform(6, 12)),
            ("settle", chance.uniform(1, 3)),
            ("seed", chance.uniform(5, 60)),
            ("finish", 0.5),
        )
        yield Course(
            begins=number * 0.33 + chance.uniform(0, 12),
            phases=phases,
            fails=chance.choice(_FAILURES) if chance.random() < 0.018 else None,
            stops=chance.uniform(60, 120) if chance.random() < 0.006 else None,
        )


def _fetched(deployment: Deployment, part: float, takes: float) -> Deployment:
    got = int(PAYLOAD * part)
    seeder = int(got * 0.0016)
    seconds = max(0.1, takes * part)
    usage = Usage(
        seconds=seconds,
        link_rate=LINK,
        best_rate=118 * MiB,
        cores=32,
        processor=seconds * 2.2,
        own=seconds * 1.7,
        thread=seconds * 0.31,
        disk=seconds * 0.52,
        disk_wait=seconds * 0.05,
    )
    return replace(
        deployment,
        progress=part,
        fetched=part >= 1.0,
        from_seeder=seeder,
        from_peers=max(0, got - seeder),
        usage=usage,
        began=(deployment.started or 0.0) + 12.0,
    )


def _failed(deployment: Deployment, why: tuple[str, str, str], ended: float) -> Deployment:
    _, reason, hint = why
    return replace(deployment, state="failed", ended=ended, heard=ended, reason=reason, hint=hint)


def deploy(live: Live, nodes: int, seconds: float) -> None:
    """Has the store as it is `seconds` after `nodes` were ordered the newest image, when it then
    is, and the rates of all that time. Every sixteenth node is not part of it.
    """
    services, deployments = live.services, live.services.deployments
    ordered = live.clock.now
    _earlier(deployments, ordered - 3 * 86400, nodes)
    armed = dict(_armed(deployments, nodes, ordered))
    ways = dict(zip(armed, courses(len(armed)), strict=True))
    for step in range(2, int(seconds) + 1, 2):
        then = [way.at(armed[node], step) for node, way in ways.items()]
        services.rates.take([d for d in then if d.state == "active"], ordered + step)
    with deployments.store.transaction():
        for node, way in ways.items():
            deployments.store.save_deployment(way.at(armed[node], seconds))
    live.clock.now += seconds
    sent = sum(d.from_seeder for d in deployments.store.active())
    services.seeding = Sending(sent, services.rates.now.seeder)
    announce(services)


def rollout(services: Services) -> str:
    """The identifier of the rollout that from now on has armed what is under way."""
    store = services.deployments.store
    ours = store.armed_with(next(iter(store.active())).id)
    arm = Arm(nodes=tuple(d.node for d in ours), image=ours[0].image, version=ours[0].version)
    made = Rollout(
        id="4be1c27a",
        by=OPERATOR,
        order=Order(arm=arm),
        created=ours[0].armed_at,
        members=tuple(map(_member, ours)),
    )
    with store.transaction():
        Kept(store).save(made)
        for one in ours:
            store.save_deployment(replace(one, rollout=made.id))
    return made.id


def _member(deployment: Deployment) -> Member:
    states: dict[str, MemberState] = {"active": "deploying", "deployed": "deployed"}
    states |= {"failed": "failed", "armed": "booting"}
    return Member(
        node=deployment.node,
        switched=True,
        since=deployment.heard or deployment.armed_at,
        state=states[deployment.state],
        tries=1,
        deployment=deployment.id,
        reason=deployment.reason,
        hint=deployment.hint,
    )


class Sending(Seeding):
    """A seeder that has sent what the simulated nodes say they got from it."""

    def __init__(self, uploaded: int, rate: float) -> None:
        super().__init__("127.0.0.1", 0, 0, 0, ())
        self.report = Report(uploaded={"": uploaded}, rate=int(rate))

    @property
    def pid(self) -> int:
        return 1


def announce(services: Services) -> None:
    """Each node that is under way says to the tracker what it lacks, and how it is reached."""
    for number, deployment in enumerate(services.deployments.store.active(), start=1):
        address = f"10.20.{number >> 8}.{number & 255}"
        services.members[address] = deployment.node
        infohash = quote_from_bytes(bytes.fromhex(deployment.infohash)[:20], safe="")
        left = int(PAYLOAD * (1.0 - (deployment.progress or 0.0)))
        services.tracker.announce(
            f"info_hash={infohash}&peer_id=-LT2110-{number:012}&port=6881&left={left}&compact=1",
            address,
        )


def _armed(deployments: Deployments, nodes: int, now: float) -> Iterator[tuple[str, Deployment]]:
    image = deployments.images.get("debian")
    for number in range(1, nodes + 1):
        node, it = name(number), inventory(number)
        if number % 160 == 0:
            continue
        address = f"10.20.{number >> 8}.{number & 255}"
        seen = SeenNode(node, marks_of_inventory(it), address, now)
        deployments.store.save_node(seen, it)
        if number % 16 == 0:
            continue
        order = Arm(nodes=(node,), image="debian", minutes=120)
        made = new_deployment(deployments.site, image.manifest, order, node, now, None)
        yield node, replace(made, payload=PAYLOAD, by=OPERATOR)


def _earlier(deployments: Deployments, ordered: float, nodes: int) -> None:
    """A run of three days ago, that all went well, and a smaller one with an accident."""
    image = deployments.images.ls("debian")[0]
    for rack, (count, when) in enumerate(((nodes, 0.0), (nodes // 20, 90_000.0))):
        ways = courses(count, seed=rack)
        for number, way in enumerate(ways, start=1):
            node = name(number)
            order = Arm(nodes=(node,), image="debian", version=image.manifest.version)
            made = new_deployment(
                deployments.site, image.manifest, order, node, ordered + when, None
            )
            whole = dataclasses.replace(way, fails=way.fails if rack else None, stops=None)
            ended = whole.at(replace(made, payload=PAYLOAD, by=OPERATOR), 5000.0)
            deployments.store.save_deployment(ended)


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
