# SPDX-License-Identifier: GPL-2.0-or-later
"""HTTP/1.1 in as few instructions as do: clients share one core, and are not what is measured."""

import asyncio
import ssl

_SECONDS = 60.0


class Talk:
    """A connection from `source` that is kept, and made again when the server closed it."""

    def __init__(self, host: str, port: int, source: str, tls: ssl.SSLContext | None) -> None:
        self._host = host
        self._port = port
        self._source = source
        self._tls = tls
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.connections = 0

    async def post(self, path: str, body: bytes, bearer: str = "") -> tuple[int, bytes]:
        """Status and content; raises OSError, EOFError or TimeoutError."""
        head = f"POST {path} HTTP/1.1\r\nHost: {self._host}\r\nContent-Type: application/json\r\n"
        if bearer:
            head += f"Authorization: Bearer {bearer}\r\n"
        return await self._ask(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)

    async def get(self, path: str) -> tuple[int, bytes]:
        return await self._ask(f"GET {path} HTTP/1.1\r\nHost: {self._host}\r\n\r\n".encode())

    async def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    async def _ask(self, request: bytes) -> tuple[int, bytes]:
        async with asyncio.timeout(_SECONDS):
            reader, writer = self._streams or await self._connect()
            try:
                writer.write(request)
                head = await reader.readuntil(b"\r\n\r\n")
                status, length, ends = _parsed(head)
                content = await reader.readexactly(length)
            except (OSError, EOFError):
                await self.close()
                raise
        if ends:
            await self.close()
        return status, content

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        self.connections += 1
        self._streams = await asyncio.open_connection(
            self._host, self._port, ssl=self._tls, local_addr=(self._source, 0)
        )
        return self._streams


def _parsed(head: bytes) -> tuple[int, int, bool]:
    """Status, bytes of the body, and whether the server closes afterwards."""
    first, *lines = head.decode("latin-1").split("\r\n")
    fields = {
        key.lower(): value.strip() for key, _, value in (line.partition(":") for line in lines)
    }
    ends = fields.get("connection", "").lower() == "close"
    return int(first.split()[1]), int(fields.get("content-length", "0")), ends
