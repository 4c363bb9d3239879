# SPDX-License-Identifier: GPL-2.0-or-later
"""The images of a server, fetched by HTTP and verified, for a store of one's own. Blocking."""

import contextlib
import http.client
import urllib.error
import urllib.request
from collections.abc import Iterator

import msgspec

from swarmstrap.errors import SwarmstrapError, Unreachable
from swarmstrap.sshsig import Signers
from swarmstrap_server.images.exchange import Part, import_parts
from swarmstrap_server.images.library import FILES, Image, ImageStore
from swarmstrap_server.images.verify import verify_signature

PUBLISHED = "/images"  # GET -> Published list

_SECONDS = 20.0


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """One image of a server; `infohash` is the v2 hash as hex."""

    name: str
    version: str
    infohash: str

    @property
    def label(self) -> str:
        return f"{self.name}:{self.version}"


def published(server: str) -> list[Published]:
    """What the server at this URL offers now; raises Unreachable."""
    with _open(f"{server}{PUBLISHED}") as response:
        try:
            return msgspec.json.decode(response.read(), type=list[Published])
        except msgspec.DecodeError as error:
            raise Unreachable(f"{server} does not say what it publishes: {error}") from error


def fetch(server: str, wanted: Published, store: ImageStore, signers: Signers) -> Image:
    """Puts the image into `store`, verified, or raises: Unreachable, BadInput, Untrusted, and
    SwarmstrapError when there is no room for it. Then nothing of it is left.
    """

    def parts() -> Iterator[Part]:
        for name in FILES:
            url = f"{server}/images/{wanted.label}/{name}"
            with _open(url) as response:
                yield name, response
                if response.length:
                    raise Unreachable(f"{url} ended {response.length} bytes early")

    try:
        return import_parts(parts(), store, signers)
    except OSError as error:
        raise SwarmstrapError(
            f"cannot keep {wanted.label} in {store.root}: {error.strerror}",
            hint="make room, or remove images there that are not published any more",
        ) from error


def kept(store: ImageStore, signers: Signers) -> dict[str, Image]:
    """The images in the store by infohash; raises Untrusted when one of them is not signed."""
    images = store.ls()
    for image in images:
        verify_signature(image, signers)
    return {image.manifest.infohash: image for image in images}


@contextlib.contextmanager
def _open(url: str) -> Iterator[http.client.HTTPResponse]:
    """Raises Unreachable, also for whatever happens to the connection while it is open."""
    # The server of the nodes is near, whatever this machine's way to the Internet is.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=_SECONDS) as response:
            yield response
    except (
        urllib.error.URLError,
        http.client.HTTPException,
        TimeoutError,
        ConnectionError,
    ) as error:
        raise Unreachable(f"{url}: {error}", hint="look whether the server runs") from error
