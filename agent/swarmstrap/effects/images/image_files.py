# SPDX-License-Identifier: GPL-2.0-or-later
"""The files of an image without a swarm: in a folder, or served over plain HTTP. Blocking.

Nobody here is trusted: the manifest's signature, the index's digest and those of the frames tell.
"""

import http
import http.client
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from swarmstrap.errors import BadInput, Unreachable
from swarmstrap.index import MAX_INDEX, Frame
from swarmstrap.manifest import PAYLOAD_FILE

_SECONDS = 60.0
_CHUNK = 1 << 20


class ImageFiles(Protocol):
    """`payload` is a file that has at least the frames that were brought."""

    @property
    def payload(self) -> Path: ...

    def read(self, name: str) -> bytes: ...

    def bring(self, frame: Frame) -> None: ...

    def close(self) -> None: ...


class Folder:
    """A version of an image as the store has it, or as it was exported."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self.payload = place / PAYLOAD_FILE

    def read(self, name: str) -> bytes:
        try:
            return (self._place / name).read_bytes()
        except OSError as error:
            raise BadInput(
                f"cannot read {self._place / name}: {error.strerror}",
                hint="name the folder of one version of an image",
            ) from error

    def bring(self, frame: Frame) -> None:
        pass

    def close(self) -> None:
        pass


class Web:
    """`url` is a folder; what is brought lies in the file `payload`, which `close` removes."""

    def __init__(self, url: str, payload: Path) -> None:
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname or parts.query:
            raise BadInput(
                f"{url} is no image", hint="write http://SERVER:8080/images/NAME:VERSION, or a path"
            )
        self._url = url.rstrip("/")
        self._path = parts.path.rstrip("/")
        self._connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=_SECONDS)
        self.payload = payload
        payload.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        payload.touch(mode=0o600)

    def read(self, name: str) -> bytes:
        return b"".join(self._get(name, {}, MAX_INDEX))

    def bring(self, frame: Frame) -> None:
        last = frame.offset + frame.length - 1
        offset = frame.offset
        with self.payload.open("r+b", buffering=0) as file:
            headers = {"Range": f"bytes={offset}-{last}"}
            for chunk in self._get(PAYLOAD_FILE, headers, frame.length):
                offset += os.pwrite(file.fileno(), chunk, offset)

    def close(self) -> None:
        self._connection.close()
        self.payload.unlink(missing_ok=True)

    def _get(self, name: str, headers: dict[str, str], most: int) -> Iterator[bytes]:
        expected = http.HTTPStatus.PARTIAL_CONTENT if headers else http.HTTPStatus.OK
        try:
            self._connection.request("GET", f"{self._path}/{name}", headers=headers)
            response = self._connection.getresponse()
            if response.status != expected:
                raise BadInput(
                    f"{self._url}/{name}: the server answered {response.status}",
                    hint="see swarmstrap image ls for the images that it has",
                )
            while most > 0 and (chunk := response.read(min(_CHUNK, most))):
                most -= len(chunk)
                yield chunk
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(
                f"{self._url} does not answer: {error}", hint="is swarmstrap serve running there?"
            ) from error
