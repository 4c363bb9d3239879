# SPDX-License-Identifier: GPL-2.0-or-later
"""The node API over TLS.

The site's CA is the one root of trust: no system store, no cookie, no proxy, no redirect. A node's
clock may be years off, so server certificates are issued with a start far in the past, and a clock
that is behind the initramfs is brought up to it (`clock.forward`) before anything else.
"""

import asyncio
import email.utils
import os
import random
import secrets
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import aiohttp
import msgspec

from swarmstrap.errors import BadInput, Refused, SwarmstrapError, Unreachable, Untrusted
from swarmstrap.wire import (
    EVENTS,
    JOB,
    LOG,
    PASSING,
    PLAN,
    REGISTER,
    SEEDING,
    Claim,
    Events,
    Job,
    NodeLog,
    Passing,
    PassOn,
    PlanReport,
    Problem,
    Register,
    Registered,
    Release,
    Seeding,
    Taken,
)

Answer = TypeVar("Answer")
Retrying = Callable[[SwarmstrapError, float], None]

_TIMEOUT = aiohttp.ClientTimeout(total=60.0, sock_connect=10.0, sock_read=30.0)
_FIRST_DELAY = 1.0
_LAST_DELAY = 30.0
_CLAIM_BYTES = 16


def tls(ca: Path) -> ssl.SSLContext:
    """A context that trusts `ca` and nothing else, and checks the server's name or address."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_verify_locations(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        raise BadInput(
            f"cannot read the site's CA {ca}: {error}", hint="build the initramfs again"
        ) from error
    return context


class NodeApi:
    """One node's conversation with its server.

    `ahead` is by how many seconds this node's clock was ahead of the server's when it answered.
    `patience` is how many seconds a call goes on trying while the server cannot be reached;
    `retrying` hears the reason and the delay before each new try.
    """

    def __init__(self, server: str, ca: Path, *, retrying: Retrying) -> None:
        self._server = server
        self._retrying = retrying
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=tls(ca), limit=4),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=_TIMEOUT,
        )
        self._bearer = ""
        self.ahead = 0.0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._session.close()

    async def register(self, register: Register, *, patience: float) -> Registered:
        return await self._ask(REGISTER, register, Registered, patience=patience)

    async def job(self, token: str, *, patience: float) -> Job:
        """Uses the token up; every later call is made with the session that the job names.

        All tries of one call make the same claim, so an answer that was lost is given again.
        """
        claim = Claim(claim=secrets.token_hex(_CLAIM_BYTES))
        job = await self._ask(JOB, claim, Job, bearer=token, patience=patience)
        self._bearer = job.session
        return job

    async def send(self, events: Events) -> Taken:
        return await self._ask(EVENTS, events, Taken, bearer=self._bearer, patience=0.0)

    async def keep_log(self, node_log: NodeLog) -> None:
        await self._post(LOG, node_log, self._bearer)

    async def report_plan(self, plan: PlanReport, *, patience: float) -> None:
        await self._patiently(PLAN, plan, self._bearer, patience)

    async def seeding(self, seeding: Seeding) -> Release:
        return await self._ask(SEEDING, seeding, Release, bearer=self._bearer, patience=0.0)

    async def passing(self, passing: Passing) -> PassOn:
        return await self._ask(PASSING, passing, PassOn, bearer=self._bearer, patience=0.0)

    async def _ask(
        self,
        path: str,
        body: msgspec.Struct,
        answer: type[Answer],
        *,
        bearer: str = "",
        patience: float,
    ) -> Answer:
        data = await self._patiently(path, body, bearer, patience)
        try:
            return msgspec.json.decode(data, type=answer)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Refused(
                f"{self._server}{path} gave an answer that this agent does not know: {error}",
                hint="build the initramfs with the version that the server runs",
            ) from error

    async def _patiently(
        self, path: str, body: msgspec.Struct, bearer: str, patience: float
    ) -> bytes:
        give_up = time.monotonic() + patience
        delay = _FIRST_DELAY
        while True:
            try:
                return await self._post(path, body, bearer)
            except Unreachable as error:
                # Jitter: a thousand nodes that lost the server together do not come back together.
                pause = delay * random.uniform(0.5, 1.5)
                if time.monotonic() + pause > give_up:
                    raise
                self._retrying(error, pause)
                await asyncio.sleep(pause)
                delay = min(delay * 2, _LAST_DELAY)

    async def _post(self, path: str, body: msgspec.Struct, bearer: str) -> bytes:
        headers = {"Content-Type": "application/json"}
        if bearer:
            headers["Authorization"] = f"Bearer {bearer}"
        try:
            async with self._session.post(
                self._server + path,
                data=msgspec.json.encode(body),
                headers=headers,
                allow_redirects=False,
            ) as response:
                content = await response.read()
                status = response.status
                self._compare_clocks(response.headers.get("Date", ""))
        except aiohttp.ClientConnectorCertificateError as error:
            raise Untrusted(
                f"{self._server} is not this site's server: {_reason(error)}",
                hint="check the address, or build the initramfs with this site's CA",
            ) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unreachable(
                f"{self._server} does not answer: {_reason(error)}",
                hint="check the server, the cable and the address",
            ) from error
        if status >= 500:
            raise Unreachable(
                f"{self._server}{path} answered {status}", hint="look into the server's log"
            )
        if status >= 300:
            raise _refusal(status, content)
        return content

    def _compare_clocks(self, date: str) -> None:
        try:
            self.ahead = time.time() - email.utils.parsedate_to_datetime(date).timestamp()
        except ValueError:
            return  # not every proxy passes it on


def _reason(error: Exception) -> str:
    """What went wrong, without the addresses and objects that aiohttp's own texts are made of."""
    cause: object = error
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        cause = error.certificate_error
    elif isinstance(error, aiohttp.ClientConnectorError):
        cause = error.os_error
    match cause:
        case ssl.SSLCertVerificationError():
            return cause.verify_message
        case ssl.SSLError():
            return cause.reason
        case OSError(errno=int() as number) if number > 0:
            return os.strerror(number)
        case _:
            return str(cause) or type(cause).__name__


def _refusal(status: int, content: bytes) -> Refused:
    try:
        problem = msgspec.json.decode(content, type=Problem)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Refused(f"the server answered {status}", hint="look into the server's log")
    return Refused(problem.error, hint=problem.hint)
