# SPDX-License-Identifier: GPL-2.0-or-later
"""`/openapi.json`: the API in the words of OpenAPI."""

from aiohttp import web

from swarmstrap_server.api.openapi import Object
from swarmstrap_server.api.route import Call, Route

DOCUMENT = web.AppKey("DOCUMENT", dict[str, object])


async def openapi(call: Call) -> Object:
    return call.request.app[DOCUMENT]


ROUTES = (Route("GET", "/openapi.json", "viewer", "This document", openapi, dict),)
