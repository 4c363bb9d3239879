# SPDX-License-Identifier: GPL-2.0-or-later
"""`/images`: what can be deployed."""

import asyncio

from swarmstrap.errors import BadInput
from swarmstrap.floors import Floors
from swarmstrap_server.api.problems import NotFound
from swarmstrap_server.api.route import Call, Route
from swarmstrap_server.app import Services
from swarmstrap_server.images.listing import Listed, listed
from swarmstrap_server.site.reading import read_floors


async def list_images(call: Call) -> list[Listed]:
    return await asyncio.to_thread(_all, call.services)


async def show_latest_image(call: Call) -> Listed:
    return await asyncio.to_thread(_one, call.services, call.part("image"), None)


async def show_image(call: Call) -> Listed:
    name, version = call.part("image"), call.part("version")
    return await asyncio.to_thread(_one, call.services, name, version)


def _all(services: Services) -> list[Listed]:
    store = services.images
    floors, tagged = _floors(services), store.tags.all()
    return [listed(one, tagged.get(one.manifest.name, {}), floors) for one in store.ls()]


def _one(services: Services, name: str, version: str | None) -> Listed:
    store = services.images
    try:
        found = store.get(name, version)
    except BadInput as error:
        raise NotFound(error.message, hint=error.hint) from error
    return listed(found, store.tags.of(name), _floors(services))


def _floors(services: Services) -> Floors:
    """As the file has them now, by which the next order is judged."""
    return read_floors(services.deployments.site.paths)


ROUTES = (
    Route(
        "GET",
        "/images",
        "viewer",
        "All images that can be used, by name, oldest version first",
        list_images,
        list[Listed],
    ),
    Route(
        "GET",
        "/images/{image}",
        "viewer",
        "One image in the version that was made last",
        show_latest_image,
        Listed,
    ),
    Route(
        "GET",
        "/images/{image}/{version}",
        "viewer",
        "One image, by version or tag",
        show_image,
        Listed,
    ),
)
