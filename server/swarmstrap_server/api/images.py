# SPDX-License-Identifier: GPL-2.0-or-later
"""`/images`: what can be deployed."""

import asyncio

from swarmstrap.errors import BadInput
from swarmstrap_server.api.problems import NotFound
from swarmstrap_server.api.route import Call, Route
from swarmstrap_server.images.library import Image
from swarmstrap_server.images.listing import Listed, listed


async def list_images(call: Call) -> list[Listed]:
    found = await asyncio.to_thread(call.services.images.ls)
    return [_listed(call, image) for image in found]


async def show_image(call: Call) -> Listed:
    try:
        found = call.services.images.get(call.part("image"), call.part("version"))
    except BadInput as error:
        raise NotFound(error.message, hint=error.hint) from error
    return _listed(call, found)


def _listed(call: Call, image: Image) -> Listed:
    tagged = call.services.images.tags.of(image.manifest.name)
    return listed(image, tagged, call.services.deployments.site.floors)


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
        "/images/{image}/{version}",
        "viewer",
        "One image, by version or tag",
        show_image,
        Listed,
    ),
)
