# SPDX-License-Identifier: GPL-2.0-or-later
"""`swarmstrap serve`: one process with its listeners, a seeder and, if wanted, dnsmasq."""

import asyncio
import contextlib
import fcntl
import logging
import os
import resource
import signal
import ssl
import time
from asyncio import sslproto
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path

from aiohttp import web

from swarmstrap.errors import BadInput, SwarmstrapError
from swarmstrap_server.api import listener
from swarmstrap_server.app import Services
from swarmstrap_server.control import node_api
from swarmstrap_server.control.access import Access
from swarmstrap_server.control.deployments import Deployments
from swarmstrap_server.control.store import Store
from swarmstrap_server.images.library import ImageStore
from swarmstrap_server.metrics import Metrics
from swarmstrap_server.netboot import boot_api, dhcp, dnsmasq
from swarmstrap_server.netboot.grub import GrubFolder
from swarmstrap_server.netboot.sharing import Sharing
from swarmstrap_server.notify import Manager
from swarmstrap_server.power.switchboard import Switchboard
from swarmstrap_server.rollouts.reservations import Reservations
from swarmstrap_server.rollouts.runner import Rollouts
from swarmstrap_server.site import pki
from swarmstrap_server.site.checks import dhcp_settings
from swarmstrap_server.site.reading import Site, read_site
from swarmstrap_server.swarm.seeding import Seeding
from swarmstrap_server.swarm.tier import Placed
from swarmstrap_server.swarm.tracker import Tracker
from swarmstrap_server.swarm.uplink import uplink
from swarmstrap_server.upkeep import Upkeep
from swarmstrap_server.webhooks import Webhooks

log = logging.getLogger(__name__)

TICK_SECONDS = 2.0
# Handlers get this long to end; streams to watchers never end by themselves.
_SHUTDOWN_SECONDS = 2.0
_BACKLOG = 1024
# For each connection asyncio keeps a buffer as large as it reads at once, by default 256 KiB; and
# TLS has no record longer than this.
_TLS_READ_BYTES = 16 << 10
# sun_path of unix(7), without its final NUL.
_SOCKET_PATH_BYTES = 107


def serve(root: Path, ready: Callable[[str], None]) -> None:
    """Until SIGTERM or SIGINT; SIGHUP has the site read again. `ready` hears one line once every
    listener answers.
    """
    site = read_site(root)
    # A connection is a file: the usual soft limit of 1024 is less than a room of nodes, and a
    # stranger's. What is started from here has the same limits.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with _only_server(site), contextlib.closing(Store(site.paths.database)) as store:
        asyncio.run(_serve(site, store, ready))


async def _serve(site: Site, store: Store, ready: Callable[[str], None]) -> None:
    manager, loop = Manager(), asyncio.get_running_loop()
    stop, hangup = asyncio.Event(), asyncio.Event()

    def end() -> None:
        manager.stopping()
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    loop.add_signal_handler(signal.SIGHUP, hangup.set)
    services = make_services(site, store)
    if site.settings.dhcp.secure_boot:
        GrubFolder(services.deployments).keep()
    async with listeners(site, services):
        services.publish()
        jobs: list[Coroutine[None, None, object]] = [
            stop.wait(),
            services.seeding.run(),
            services.rollouts.run(),
            services.webhooks.run(),
            _tick(services, manager),
            _reload(services, hangup, manager),
        ]
        wanted = dhcp_settings(site.settings)
        if wanted is not None:
            tftp = site.paths.boot if wanted.secure_boot else dhcp.IPXE
            jobs.append(dnsmasq.serve(wanted, site.paths.run, tftp=tftp))
        ready(f"ready boot={site.boot_url} node={site.node_url} operator={site.operator_url}")
        manager.ready(f"serving {site.settings.name}")
        await _first_to_end(jobs)


def make_services(site: Site, store: Store, clock: Callable[[], float] = time.time) -> Services:
    settings = site.settings
    images = ImageStore(site.paths.images)
    deployments = Deployments(site, store, images, clock, uplink(settings))
    switchboard = Switchboard(lambda: deployments.site)
    rollouts = Rollouts(deployments, switchboard)
    metrics = Metrics()
    members: dict[str, str] = {}

    def site_now() -> Site:
        return deployments.site

    webhooks = Webhooks(site_now, store, clock, metrics)

    def rack_of(address: str) -> str | None:
        node = members.get(address)
        return None if node is None else deployments.site.rack_of(node)

    services = Services(
        access=Access(store, clock),
        deployments=deployments,
        images=images,
        tracker=Tracker(
            (settings.address, settings.ports.seeder),
            time.monotonic,
            rack=settings.swarm.rack,
            others=[Placed((s.address, s.port), s.rack) for s in settings.swarm.seeders],
            rack_of=rack_of,
        ),
        seeding=Seeding(
            settings.address,
            settings.ports.seeder,
            settings.ports.deal,
            settings.swarm.rate,
            [f"{site.boot_url}/announce"],
        ),
        published={},
        sharing=Sharing(deployments),
        switchboard=switchboard,
        rollouts=rollouts,
        reservations=Reservations(deployments, rollouts),
        metrics=metrics,
        webhooks=webhooks,
        upkeep=Upkeep(site_now, store, rollouts, clock, metrics, webhooks),
        members=members,
    )
    metrics.watch(services)
    return services


@contextlib.asynccontextmanager
async def listeners(site: Site, services: Services) -> AsyncIterator[None]:
    """Boot, node and operator listeners; raises SwarmstrapError when one cannot be had."""
    settings = site.settings
    async with contextlib.AsyncExitStack() as stack:
        ports, tls = settings.ports, _tls(site)
        for app, port, context in (
            (boot_api.init_app(services), ports.boot, None),
            (node_api.init_app(services), ports.node, tls),
            (listener.init_app(services, local=False), ports.operator, tls),
        ):
            await _listen(stack, app, settings.address, port, context)
        await _listen_locally(stack, listener.init_app(services, local=True), site.paths.socket)
        yield


async def _runner(stack: contextlib.AsyncExitStack, app: web.Application) -> web.AppRunner:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    return runner


async def _listen(
    stack: contextlib.AsyncExitStack,
    app: web.Application,
    address: str,
    port: int,
    tls: ssl.SSLContext | None,
) -> None:
    runner = await _runner(stack, app)
    try:
        await web.TCPSite(runner, address, port, ssl_context=tls, backlog=_BACKLOG).start()
    except OSError as error:
        raise SwarmstrapError(
            f"cannot listen on {address} port {port}: {os.strerror(error.errno or 0)}",
            hint="see address and ports in site.yaml, and `ss -ltnp` for who has the port",
        ) from error


async def _listen_locally(
    stack: contextlib.AsyncExitStack, app: web.Application, path: Path
) -> None:
    if len(os.fsencode(path)) > _SOCKET_PATH_BYTES:
        raise BadInput(f"{path} is too long for a socket", hint="use a shorter site folder")
    runner = await _runner(stack, app)
    path.unlink(missing_ok=True)  # of a server that was killed: ours is the only one
    try:
        await web.UnixSite(runner, path).start()
    except OSError as error:
        raise SwarmstrapError(f"cannot listen on {path}: {error.strerror}") from error
    path.chmod(0o600)


def _tls(site: Site) -> ssl.SSLContext:
    paths = site.paths
    hint = "run swarmstrap init again: it makes what is missing"
    sslproto.SSLProtocol.max_size = _TLS_READ_BYTES
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(paths.server_certificate, paths.server_key)
        certificate = paths.server_certificate.read_bytes()
    except (OSError, ssl.SSLError) as error:
        raise BadInput(f"cannot use {paths.server_certificate}: {error}", hint=hint) from error
    if not pki.covers(certificate, site.settings.address):
        raise BadInput(f"{paths.server_certificate} is not for {site.settings.address}", hint=hint)
    return context


async def _tick(services: Services, manager: Manager) -> None:
    while True:
        manager.alive()
        services.deployments.tick()
        services.reservations.tick()
        services.sharing.tick()
        services.upkeep.tick()
        await asyncio.sleep(TICK_SECONDS)


async def _reload(services: Services, hangup: asyncio.Event, manager: Manager) -> None:
    """Read site and images again whenever `hangup` is set; a site with mistakes changes nothing."""
    while True:
        await hangup.wait()
        hangup.clear()
        manager.reloading()
        try:
            services.deployments.roster.reload()
            services.publish()
        except SwarmstrapError as error:
            log.error("the site stays as it was: %s", error)
            manager.ready(f"the site stays as it was: {error.message}")
        else:
            log.info("site and images are read again")
            manager.ready(f"serving {services.deployments.site.settings.name}")


async def _first_to_end(jobs: list[Coroutine[None, None, object]]) -> None:
    """Run all until one ends, cancel the rest, and raise what that one raised."""
    tasks = [asyncio.ensure_future(job) for job in jobs]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


@contextlib.contextmanager
def _only_server(site: Site) -> Iterator[None]:
    """Holds the site's lock; the kernel lets go of it when this process ends, however it does."""
    site.paths.run.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (site.paths.run / "serve.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SwarmstrapError(
                f"a server runs already for {site.paths.root}", hint="stop that one first"
            ) from error
        yield
