# SPDX-License-Identifier: GPL-2.0-or-later
"""What a monitor is told: whether the server answers, and why it cannot do its work."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator

import msgspec
import pytest
from tests.http.conftest import Live
from tests.http.test_swarm_server import until

from swarmstrap.errors import BadInput
from swarmstrap_server.health import HEALTHZ, READYZ, Readiness
from swarmstrap_server.swarm import seeding


async def readiness(live: Live) -> tuple[int, tuple[str, ...]]:
    url = f"{live.services.deployments.site.operator_url}{READYZ}"
    async with live.http.get(url) as response:
        told = msgspec.json.decode(await response.read(), type=Readiness)
    assert told.ready is (response.status == 200)
    return response.status, told.reasons


@pytest.fixture
async def whole(live: Live) -> AsyncIterator[Live]:
    """A server with its seeder."""
    running = asyncio.create_task(live.services.seeding.run())
    await until("the seeder's first report", lambda: live.services.seeding.silent < 5)
    yield live
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def test_both_listeners_say_that_they_answer(live: Live) -> None:
    for url in (live.boot, live.services.deployments.site.operator_url):
        async with live.http.get(url + HEALTHZ) as response:
            assert (response.status, await response.text()) == (200, "ok\n")


async def test_ready_and_then_not_any_more(whole: Live) -> None:
    assert await readiness(whole) == (200, ())
    whole.paths.initramfs.unlink()
    lacking = "there is no initramfs.img, see swarmstrap initramfs"
    assert await readiness(whole) == (503, (lacking,))

    (whole.paths.root / "nodes" / "lab.yaml").write_text("nodes: [{nam: n1}]\n")
    with pytest.raises(BadInput):
        whole.services.deployments.roster.reload()
    _, (mistake, _) = await readiness(whole)
    assert mistake.startswith("the site folder has mistakes")

    whole.services.deployments.store.close()
    _, (database, *_) = await readiness(whole)
    assert database == "the database cannot be written"


async def test_no_seeder(live: Live) -> None:
    assert await readiness(live) == (503, ("the seeder does not run",))


async def test_a_seeder_that_hangs_is_started_again(
    whole: Live, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(seeding, "_HUNG_SECONDS", 1.5)
    patched = time.monotonic()
    # Who waits for a report already goes on as long as before.
    await until("one more", lambda: time.monotonic() - whole.services.seeding.silent > patched)
    hung = whole.services.seeding.pid
    assert hung is not None
    os.kill(hung, signal.SIGSTOP)
    await until("another seeder", lambda: whole.services.seeding.pid not in (None, hung))
    assert "the seeder has said nothing for 2 s: killed" in caplog.text
