# SPDX-License-Identifier: GPL-2.0-or-later
"""The agent's half of the node API against a real TLS server with a real CA."""

import asyncio
import datetime
import email.utils
import ipaddress
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from swarmstrap.effects import http
from swarmstrap.effects.http import NodeApi
from swarmstrap.errors import BadInput, Refused, SwarmstrapError, Unreachable, Untrusted
from swarmstrap.hardware import Boot, Cpu, Inventory
from swarmstrap.layout import Layout
from swarmstrap.wire import (
    Claim,
    Event,
    Events,
    Job,
    PlanReport,
    Problem,
    Register,
    Registered,
    Taken,
)

REGISTER = Register(
    inventory=Inventory(boot=Boot(current_boot_mode="uefi"), cpu=Cpu(architecture="x86_64")),
    boot_id="b",
    version="0",
)
JOB = Job(
    deployment="d",
    node="n",
    session="session-1",
    manifest=b"{}",
    signature=b"",
    torrent=b"\xff\x00",
    layout=Layout(disks=()),
)

CURVE = ec.SECP256R1()

Build = Callable[[x509.CertificateBuilder], x509.CertificateBuilder]


@dataclass(frozen=True)
class Authority:
    """A CA in `folder`, as the site makes one."""

    folder: Path
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(CURVE))

    @property
    def certificate(self) -> Path:
        return self.folder / "ca.crt"

    def issue(self, name: str, key: ec.EllipticCurvePrivateKey, build: Build) -> bytes:
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(name))
            .issuer_name(_name("site"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(datetime.datetime(2000, 1, 1))
            .not_valid_after(datetime.datetime(2100, 1, 1))
        )
        signed = build(builder).sign(self.key, hashes.SHA256())
        return signed.public_bytes(serialization.Encoding.PEM)


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def make_authority(folder: Path) -> Authority:
    folder.mkdir()
    authority = Authority(folder)
    authority.certificate.write_bytes(
        authority.issue(
            "site",
            authority.key,
            lambda b: b.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True),
        )
    )
    return authority


def server_context(authority: Authority, address: str) -> ssl.SSLContext:
    key = ec.generate_private_key(CURVE)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
    pem = authority.issue("server", key, lambda b: b.add_extension(names, critical=False))
    pem += key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (authority.folder / f"{address}.pem").write_bytes(pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.folder / f"{address}.pem")
    return context


@dataclass
class Server:
    """Answers with `answers` in turn, the last one for ever, and notes what it was asked."""

    context: ssl.SSLContext
    answers: list[web.Response] = field(default_factory=list)
    asked: list[tuple[str, str, bytes]] = field(default_factory=list)
    url: str = ""
    _runner: web.AppRunner | None = None

    async def start(self, port: int = 0) -> None:
        app = web.Application()
        app.router.add_post("/{path:.*}", self._answer)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port, ssl_context=self.context)
        await site.start()
        self.url = f"https://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        bearer = request.headers.get("Authorization", "")
        self.asked.append((request.path, bearer, await request.read()))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        date = {"Date": answer.headers["Date"]} if "Date" in answer.headers else None
        return web.Response(status=answer.status, body=answer.body, headers=date)


def answer(value: msgspec.Struct | None = None, status: int = 200) -> web.Response:
    return web.Response(status=status, body=b"" if value is None else msgspec.json.encode(value))


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return make_authority(tmp_path / "site")


@pytest.fixture
async def server(authority: Authority) -> AsyncIterator[Server]:
    server = Server(server_context(authority, "127.0.0.1"))
    await server.start()
    yield server
    await server.stop()


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "_FIRST_DELAY", 0.02)


def unheard(error: SwarmstrapError, delay: float) -> None:
    pytest.fail(f"retried after {error}")


async def test_the_whole_conversation(authority: Authority, server: Server) -> None:
    taken = Taken(sequence=1, pause=2.0)
    server.answers = [answer(Registered(node="n", token="t")), answer(JOB), answer(taken)]
    server.answers.append(answer(status=204))
    async with NodeApi(server.url, authority.certificate, retrying=unheard) as api:
        registered = await api.register(REGISTER, patience=0)
        job = await api.job(registered.token, patience=0)
        event = Event(sequence=1, time=0, kind="log", name="look")
        assert await api.send(Events(events=(event,))) == taken
        await api.report_plan(PlanReport(digest="d", lines=("a",)), patience=0)
    assert job == JOB
    assert [(path, bearer) for path, bearer, _ in server.asked] == [
        ("/v1/register", ""),
        ("/v1/job", "Bearer t"),
        ("/v1/events", "Bearer session-1"),
        ("/v1/plan", "Bearer session-1"),
    ]
    assert msgspec.json.decode(server.asked[0][2], type=Register) == REGISTER


async def test_a_job_is_asked_for_again_with_the_same_claim(
    authority: Authority, server: Server
) -> None:
    server.answers = [answer(status=500), answer(JOB)]
    async with NodeApi(server.url, authority.certificate, retrying=lambda *_: None) as api:
        assert await api.job("t", patience=10) == JOB
        await api.job("t", patience=0)
    claims = [msgspec.json.decode(body, type=Claim).claim for _, _, body in server.asked]
    assert claims[0] == claims[1] != claims[2]


@pytest.mark.parametrize("days", [2, -2])
async def test_the_servers_time_is_heard_with_every_answer(
    days: int, authority: Authority, server: Server
) -> None:
    registered = answer(Registered(node="n"))
    then = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=days)
    registered.headers["Date"] = email.utils.format_datetime(then, usegmt=True)
    server.answers = [registered]
    async with NodeApi(server.url, authority.certificate, retrying=unheard) as api:
        assert api.ahead == 0.0
        await api.register(REGISTER, patience=0)
        assert api.ahead == pytest.approx(days * 86400, abs=60)
        registered.headers["Date"] = "yesterday"
        await api.register(REGISTER, patience=0)
        assert api.ahead == pytest.approx(days * 86400, abs=60)


async def test_another_sites_ca_is_not_trusted(tmp_path: Path, server: Server) -> None:
    other = make_authority(tmp_path / "other")
    async with NodeApi(server.url, other.certificate, retrying=unheard) as api:
        with pytest.raises(Untrusted, match="is not this site's server"):
            await api.register(REGISTER, patience=10)
    assert server.asked == []


async def test_a_certificate_for_another_address_is_not_trusted(authority: Authority) -> None:
    server = Server(server_context(authority, "192.0.2.1"))
    await server.start()
    try:
        async with NodeApi(server.url, authority.certificate, retrying=unheard) as api:
            with pytest.raises(Untrusted, match=r"127\.0\.0\.1"):
                await api.register(REGISTER, patience=10)
    finally:
        await server.stop()


async def test_a_refusal_is_final_and_carries_the_hint(
    authority: Authority, server: Server
) -> None:
    server.answers = [
        answer(Problem(error="token was already used", hint="deploy again"), status=403)
    ]
    async with NodeApi(server.url, authority.certificate, retrying=unheard) as api:
        with pytest.raises(Refused) as caught:
            await api.job("t", patience=10)
    assert str(caught.value) == "token was already used (deploy again)"
    assert len(server.asked) == 1


async def test_a_server_error_is_tried_again(authority: Authority, server: Server) -> None:
    heard: list[str] = []
    server.answers = [
        answer(status=500),
        answer(status=503),
        answer(Registered(node="n", reason="not armed")),
    ]
    async with NodeApi(
        server.url, authority.certificate, retrying=lambda error, _: heard.append(error.message)
    ) as api:
        registered = await api.register(REGISTER, patience=10)
    assert registered.reason == "not armed"
    assert [message.rsplit(" ", 1)[1] for message in heard] == ["500", "503"]


async def test_a_server_that_comes_late_is_found(authority: Authority, server: Server) -> None:
    await server.stop()
    late = Server(server.context, answers=[answer(Registered(node="n"))])
    port = int(server.url.rsplit(":", 1)[1])
    coming: list[asyncio.Task[None]] = []

    def come(error: SwarmstrapError, delay: float) -> None:
        assert "does not answer" in error.message
        if not coming:
            coming.append(asyncio.create_task(late.start(port)))

    async with NodeApi(server.url, authority.certificate, retrying=come) as api:
        assert await api.register(REGISTER, patience=10) == Registered(node="n")
    assert coming
    await late.stop()


async def test_patience_ends_with_the_last_reason(authority: Authority, server: Server) -> None:
    await server.stop()
    heard: list[float] = []
    async with NodeApi(
        server.url, authority.certificate, retrying=lambda _, delay: heard.append(delay)
    ) as api:
        with pytest.raises(Unreachable, match="check the server, the cable"):
            await api.register(REGISTER, patience=0.3)
    assert len(heard) >= 2


async def test_an_answer_of_another_version_is_said_to_be_one(
    authority: Authority, server: Server
) -> None:
    server.answers = [web.Response(body=b'{"node": "n", "colour": "blue"}')]
    async with NodeApi(server.url, authority.certificate, retrying=unheard) as api:
        with pytest.raises(Refused, match=r"unknown field `colour`.*build the initramfs"):
            await api.register(REGISTER, patience=10)


async def test_a_missing_ca_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"cannot read the site's CA .*ca\.crt"):
        NodeApi("https://127.0.0.1", tmp_path / "ca.crt", retrying=unheard)
