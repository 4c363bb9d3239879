# SPDX-License-Identifier: GPL-2.0-or-later
"""One rehearsal: a network, a server, virtual nodes; installed over PXE, then started again."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path

from swarmstrap.errors import SwarmstrapError
from swarmstrap_server.control.client import Operator
from swarmstrap_server.control.limits import runs
from swarmstrap_server.control.operator_wire import Arm
from swarmstrap_server.images.library import Image
from swarmstrap_server.installer.initramfs import newest_kernel
from swarmstrap_server.lab import lab_site
from swarmstrap_server.lab.course import Course, Order
from swarmstrap_server.lab.lab_site import LabSite
from swarmstrap_server.lab.machines import VirtualNode
from swarmstrap_server.lab.network import network
from swarmstrap_server.lab.pictures import Album
from swarmstrap_server.lab.progress import Observer, Progress
from swarmstrap_server.lab.report import Report
from swarmstrap_server.lab.serving import LabServer
from swarmstrap_server.lab.speed import measure
from swarmstrap_server.lab.trial import Trial
from swarmstrap_server.site.reading import Site

_REFRESH_SECONDS = 1.0

Disturb = Callable[[LabServer, Sequence[Progress]], Coroutine[None, None, None]]
Orders = Callable[[LabServer, Sequence[Progress]], AbstractAsyncContextManager[Order]]


@contextlib.asynccontextmanager
async def by_the_lab(server: LabServer, nodes: Sequence[Progress]) -> AsyncIterator[Order]:
    """Nodes are armed, and switched on at once."""

    async def order(arm: Arm) -> None:
        await asyncio.to_thread(server.operator.arm, arm)

    yield order


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """What to rehearse, the folder `work` for disks and logs, and one for pictures, if wanted. With
    `update_to` the nodes are then updated to that image, and started once more. What `disturb` does
    to server and nodes must not keep these from their end; it is awaited, too. A node that `images`
    names gets another image. `orders` has nodes armed and switched on.
    """

    real: Site
    image: Image
    nodes: tuple[VirtualNode, ...]
    lab: LabSite
    work: Path
    pictures: Path | None = None
    update_to: Image | None = None
    trials: Mapping[str, Trial] = field(default_factory=dict)
    images: Mapping[str, Image] = field(default_factory=dict)
    at_once: int = 64
    disturb: Disturb | None = None
    orders: Orders = by_the_lab


async def rehearse(rehearsal: Rehearsal, observe: Observer) -> Report:
    """Never raises for what a node does: that is in the report. Raises SwarmstrapError when the
    lab itself cannot be had. `observe` is called about once a second.
    """
    started = time.monotonic()
    nodes = [Progress(node) for node in rehearsal.nodes]
    work = rehearsal.work.resolve()
    speed = await measure(Path(f"/boot/vmlinuz-{newest_kernel()}"), work / "speed")
    networks = {name: trial.network for name, trial in rehearsal.trials.items() if trial.network}
    layouts: dict[str, str] = {}
    for name, trial in rehearsal.trials.items():
        layouts |= trial.layouts(name)
    async with network(len(nodes)) as net:
        paths = lab_site.make(
            work / "site", rehearsal.real, rehearsal.lab, net, rehearsal.nodes, layouts, networks
        )
        async with LabServer(paths, net) as server, rehearsal.orders(server, nodes) as order:
            operator = server.operator
            course = Course(
                network=net,
                speed=speed,
                operator=operator,
                order=order,
                paths=paths,
                site=rehearsal.lab,
                guests=min(rehearsal.at_once, len(nodes)),
                image=rehearsal.image,
                update_to=rehearsal.update_to,
            )
            album = Album(rehearsal.pictures, operator) if rehearsal.pictures else None
            watching = asyncio.create_task(_watch(operator, nodes, observe, album))
            try:
                await _run_all(rehearsal, course, nodes, server)
            finally:
                watching.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await watching
    observe(nodes)
    return Report(
        image=rehearsal.image.label,
        payload_bytes=rehearsal.image.manifest.payload.size,
        seconds=round(time.monotonic() - started, 1),
        nodes=tuple(progress.report() for progress in nodes),
        runs=tuple(runs(progress.installed for progress in nodes if progress.installed)),
    )


async def _run_all(
    rehearsal: Rehearsal, course: Course, nodes: Sequence[Progress], server: LabServer
) -> None:
    room = asyncio.Semaphore(rehearsal.at_once)

    async def run(progress: Progress, tap: str) -> None:
        async with room:
            trial = rehearsal.trials.get(progress.node.name, Trial())
            image = rehearsal.images.get(progress.node.name, rehearsal.image)
            await replace(course, image=image).run(progress, trial, tap)

    try:
        async with asyncio.TaskGroup() as group:
            for progress, tap in zip(nodes, course.network.taps, strict=True):
                group.create_task(run(progress, tap))
            if rehearsal.disturb is not None:
                group.create_task(rehearsal.disturb(server, nodes))
    except ExceptionGroup as group:
        raise group.exceptions[0] from group


async def _watch(
    operator: Operator, nodes: Sequence[Progress], observe: Observer, album: Album | None
) -> None:
    while True:
        with contextlib.suppress(SwarmstrapError):
            known = {view.name: view.deployment for view in await asyncio.to_thread(operator.nodes)}
            for progress in nodes:
                progress.deployment = known.get(progress.node.name) or progress.deployment
            if album:
                await album.consider([(progress.guest, progress.deployment) for progress in nodes])
        observe(nodes)
        await asyncio.sleep(_REFRESH_SECONDS)
