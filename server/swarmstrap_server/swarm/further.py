# SPDX-License-Identifier: GPL-2.0-or-later
"""`swarmstrap seed`: a seeder beside the server's own, of whatever the server publishes."""

import asyncio
import logging
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from swarmstrap.errors import BadInput, SwarmstrapError
from swarmstrap.sshsig import Signers
from swarmstrap_server.images.library import Image, ImageStore
from swarmstrap_server.notify import Manager
from swarmstrap_server.swarm.mirror import Published, fetch, kept, published
from swarmstrap_server.swarm.seeding import Seeding, offer_of

log = logging.getLogger(__name__)

T = TypeVar("T")

# How often the server is asked what it publishes.
LOOK_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Further:
    """`server` is the URL of the server's boot listener; nodes connect to `address` and `port`."""

    server: str
    address: str
    port: int
    store: ImageStore
    signers: Signers


def serve(further: Further, ready: Callable[[str], None], look: float = LOOK_SECONDS) -> None:
    """Until SIGTERM or SIGINT. Raises BadInput or Untrusted for keys and images that are not good;
    an absent server only delays what it has published since.
    """
    if not further.signers.allowed.is_file():
        raise BadInput(
            f"there is no {further.signers.allowed}", hint="copy keys/allowed_signers of the site"
        )
    images = kept(further.store, further.signers)
    asyncio.run(_serve(further, images, ready, look))


async def _serve(
    further: Further, images: dict[str, Image], ready: Callable[[str], None], look: float
) -> None:
    manager, stop = Manager(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    # One server deals the pieces of an image; a further seeder gives what it is asked for.
    trackers = [f"{further.server}/announce"]
    seeding = Seeding(further.address, further.port, deal_port=0, rate=0, trackers=trackers)
    seeding.offer([offer_of(image) for image in images.values()])
    async with asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(seeding.run()),
            tasks.create_task(_follow(further, images, seeding, look)),
        ]
        ready(f"ready seeder={further.address}:{further.port} images={len(images)}")
        manager.ready(f"seeding for {further.server}")
        await stop.wait()
        manager.stopping()
        for task in running:
            task.cancel()


async def _follow(
    further: Further, images: dict[str, Image], seeding: Seeding, look: float
) -> None:
    """Have and seed what the server publishes, and nothing else. Every complaint is logged once."""
    said: dict[str, str] = {}

    async def attempt(label: str, work: Callable[[], T]) -> T | None:
        try:
            done = await _in_thread(work)
        except SwarmstrapError as error:
            if said.get(label) != str(error):
                log.warning("%s: %s; tried again every %.0f s", label, error, look)
            said[label] = str(error)
            return None
        said.pop(label, None)
        return done

    while True:
        offered = await attempt(further.server, lambda: published(further.server))
        for wanted in offered or ():
            if wanted.infohash not in images:
                image = await attempt(wanted.label, partial(_fetch, further, wanted))
                if image is not None:
                    images[image.manifest.infohash] = image
                    log.info("%s is here, and verified", image.label)
        if offered is not None:
            here = [images[one.infohash] for one in offered if one.infohash in images]
            seeding.offer([offer_of(image) for image in here])
        await asyncio.sleep(look)


def _fetch(further: Further, wanted: Published) -> Image:
    return fetch(further.server, wanted, further.store, further.signers)


async def _in_thread(work: Callable[[], T]) -> T:
    """As asyncio.to_thread, but that the end of this process does not wait for `work`, which may
    hash for minutes. The store sweeps away what is left of it.
    """
    done: Future[T] = Future()
    done.set_running_or_notify_cancel()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return await asyncio.wrap_future(done)
