# SPDX-License-Identifier: GPL-2.0-or-later
"""The boot listener: plain HTTP for firmware and swarm. Nothing here is secret or trusted."""

import logging
import re
from pathlib import Path

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from swarmstrap.errors import Refused
from swarmstrap.manifest import INDEX_FILE, PAYLOAD_FILE
from swarmstrap_server import health
from swarmstrap_server.app import SERVICES, Services, answer, new_app
from swarmstrap_server.control.identity import marks
from swarmstrap_server.images.library import FILES
from swarmstrap_server.netboot import boot
from swarmstrap_server.netboot.sharing import Sharing
from swarmstrap_server.swarm.mirror import PUBLISHED, Published

log = logging.getLogger(__name__)

_MAC = re.compile(r"[0-9a-f]{2}([:-][0-9a-f]{2}){5}", re.IGNORECASE)


def init_app(services: Services) -> web.Application:
    app = new_app(services)
    app.router.add_get("/boot/entry.ipxe", _entry)
    app.router.add_get("/boot/ipxe", _ipxe)
    app.router.add_get(boot.KERNEL, _kernel)
    app.router.add_get(boot.INITRAMFS, _initramfs)
    app.router.add_get("/announce", _announce)
    app.router.add_get("/images/{infohash}/{directory}/{file}", _image)
    app.router.add_get("/images/{image}/{file}", _image_by_name)
    app.router.add_get(PUBLISHED, _published)
    app.router.add_get(health.HEALTHZ, health.healthz)
    return app


async def _entry(request: web.Request) -> web.Response:
    return web.Response(text=boot.entry_script(request.app[SERVICES].deployments.site))


async def _ipxe(request: web.Request) -> web.Response:
    """`?mac=&uuid=&serial=&platform=`; whatever cannot be made sense of boots its own disk."""
    services = request.app[SERVICES]
    deployments = services.deployments
    site = deployments.site
    mac = request.query.get("mac", "")
    if not _MAC.fullmatch(mac):
        return web.Response(text=boot.node_script(site, "local", "this machine"))
    seen = marks(request.query.get("uuid", ""), [mac], request.query.get("serial", ""))
    try:
        name = deployments.roster.known_as(seen)
    except Refused as error:
        log.warning("%s: %s", mac, error)
        return web.Response(text=boot.node_script(site, "local", "this machine"))
    view = deployments.view(name) if name else None
    decided = boot.verdict(
        granted=view is not None and deployments.grants(view.deployment),
        has_inventory=view is not None and view.has_inventory,
        discovery=site.settings.discovery,
    )
    shown = name or mac.lower().replace("-", ":")
    shared = None
    if decided == "install" and services.sharing.active:
        if not await services.sharing.turn(shown, request.remote or ""):
            return web.Response(text=boot.waiting_script(site, shown))
        shared = await services.sharing.files()
    log.info("%s boots: %s", shown, decided)
    return web.Response(text=boot.node_script(site, decided, shown, shared))


async def _kernel(request: web.Request) -> web.StreamResponse:
    return await _boot_file(request, request.app[SERVICES].deployments.site.paths.kernel)


async def _initramfs(request: web.Request) -> web.StreamResponse:
    return await _boot_file(request, request.app[SERVICES].deployments.site.paths.initramfs)


async def _boot_file(request: web.Request, path: Path) -> web.StreamResponse:
    """`?shared` may be sent to another node; without it this server has to do."""
    sharing = request.app[SERVICES].sharing
    if not sharing.active:
        return web.FileResponse(path)
    if "shared" in request.query:
        url = await sharing.source(path, request.remote or "")
        if url is not None:
            return web.Response(status=302, headers={"Location": url})
    return _Counted(path, sharing)


class _Counted(web.FileResponse):
    """Counts as being sent for as long as it is."""

    def __init__(self, path: Path, sharing: Sharing) -> None:
        super().__init__(path)
        self._file = path
        self._sharing = sharing

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        with self._sharing.from_here(self._file, request.remote or ""):
            return await super().prepare(request)


async def _announce(request: web.Request) -> web.Response:
    # The raw query: info_hash is bytes that are no text in any encoding.
    query = request.raw_path.partition("?")[2]
    tracker = request.app[SERVICES].tracker
    return web.Response(
        body=tracker.announce(query, request.remote or ""), content_type="text/plain"
    )


async def _image(request: web.Request) -> web.FileResponse:
    """Web seed (BEP 19) of the published images."""
    image = request.app[SERVICES].published.get(request.match_info["infohash"])
    file = request.match_info["file"]
    if image is None or file not in (INDEX_FILE, PAYLOAD_FILE):
        raise web.HTTPNotFound
    return web.FileResponse(image.directory / file)


async def _published(request: web.Request) -> web.Response:
    """What a further seeder of this site is to have."""
    images = (image.manifest for image in request.app[SERVICES].published.values())
    return answer([Published(name=m.name, version=m.version, infohash=m.infohash) for m in images])


async def _image_by_name(request: web.Request) -> web.FileResponse:
    """All files of NAME:VERSION, or of the newest NAME, for a system that updates itself."""
    name, _, version = request.match_info["image"].partition(":")
    published = request.app[SERVICES].published.values()
    found = [image for image in published if image.manifest.name == name]
    if version:
        found = [image for image in found if image.manifest.version == version]
    file = request.match_info["file"]
    if not found or file not in FILES:
        raise web.HTTPNotFound
    return web.FileResponse(max(found, key=lambda image: image.manifest.created).directory / file)
