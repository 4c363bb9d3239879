# SPDX-License-Identifier: GPL-2.0-or-later
"""Who wants to be told that a deployment or a rollout has ended is told, also after a restart."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

import aiohttp

from swarmstrap.errors import BadInput
from swarmstrap_server import secretfile
from swarmstrap_server.control.announcing import (
    Letter,
    Message,
    headers,
    letters,
    next_try,
    of_deployment,
    of_rollout,
)
from swarmstrap_server.control.nodes import Deployment
from swarmstrap_server.control.operator_wire import Delivery, Hook
from swarmstrap_server.control.store import Store
from swarmstrap_server.metrics import Metrics
from swarmstrap_server.rollouts.values import Rollout
from swarmstrap_server.site.reading import Site

log = logging.getLogger(__name__)

_SECONDS = aiohttp.ClientTimeout(total=10.0)
_ALL = 16
# Of each hook.
_SHOWN = 20
_KEPT_SECONDS = 30 * 86400.0


@dataclass(frozen=True, slots=True)
class _Due:
    letter: Letter
    attempts: int


class Webhooks:
    """Deliveries wait in the database until somebody answered 2xx, or all tries are used up."""

    def __init__(
        self, site: Callable[[], Site], store: Store, clock: Callable[[], float], metrics: Metrics
    ) -> None:
        self._site = site
        self._store = store
        self._clock = clock
        self._metrics = metrics
        self._news = asyncio.Event()

    @property
    def pending(self) -> int:
        row = self._store.execute("SELECT COUNT(*) FROM deliveries WHERE due IS NOT NULL")
        return int(row.fetchone()[0])

    def hooks(self) -> list[Hook]:
        """Those of the site in its order, then others of which deliveries are kept."""
        declared = {hook.url: hook.events for hook in self._site().settings.webhooks}
        rows = self._store.execute("SELECT DISTINCT url FROM deliveries ORDER BY url").fetchall()
        urls = dict.fromkeys((*declared, *(url for (url,) in rows)))
        return [
            Hook(
                url=_without_user(url),
                events=declared.get(url, ()),
                in_site=url in declared,
                deliveries=self._deliveries(url),
            )
            for url in urls
        ]

    def _deliveries(self, url: str) -> tuple[Delivery, ...]:
        query = (
            "SELECT id, made, attempts, due, outcome FROM deliveries WHERE url = ? "
            "ORDER BY made DESC, id LIMIT ?"
        )
        return tuple(
            Delivery(
                id=key,
                made=made,
                attempts=attempts,
                next_try=due,
                delivered=due is None and outcome.startswith("answered 2"),
                outcome=outcome,
            )
            for key, made, attempts, due, outcome in self._store.execute(query, url, _SHOWN)
        )

    def ended(self, deployments: Sequence[Deployment]) -> None:
        for deployment in deployments:
            self._write(of_deployment(deployment))

    def rollouts_ended(self, rollouts: Iterable[Rollout]) -> None:
        """Also those that were told of before."""
        for rollout in rollouts:
            if rollout.ended is not None:
                self._write(of_rollout(rollout, rollout.ended))

    def _write(self, message: Message | None) -> None:
        if message is None:
            return
        now = self._clock()
        for letter in letters(message, self._site().settings.webhooks):
            self._store.execute(
                "INSERT OR IGNORE INTO deliveries VALUES (?, ?, ?, ?, ?, 0, '')",
                letter.id,
                letter.url,
                letter.body,
                now,
                now,
            )
        self._news.set()

    def tick(self) -> None:
        """Some are due again, and some are as old as nobody asks for."""
        oldest = self._clock() - _KEPT_SECONDS
        self._store.execute("DELETE FROM deliveries WHERE due IS NULL AND made < ?", oldest)
        self._news.set()

    async def run(self) -> None:
        """Until cancelled. Nobody but the hooks themselves waits for the hooks."""
        async with aiohttp.ClientSession(timeout=_SECONDS) as session:
            while True:
                await self._news.wait()
                self._news.clear()
                while due := self._due():
                    await asyncio.gather(*(self._deliver(session, each) for each in due))

    def _due(self) -> list[_Due]:
        query = "SELECT id, url, body, attempts FROM deliveries WHERE due <= ? ORDER BY due LIMIT ?"
        rows = self._store.execute(query, self._clock(), _ALL).fetchall()
        return [_Due(Letter(id=key, url=url, body=body), tried) for key, url, body, tried in rows]

    async def _deliver(self, session: aiohttp.ClientSession, due: _Due) -> None:
        letter, attempts = due.letter, due.attempts + 1
        outcome, taken = await self._post(session, letter)
        again = None if taken else next_try(attempts, self._clock())
        self._metrics.deliveries.labels("delivered" if taken else "failed").inc()
        if not taken:
            end = "again later" if again is not None else "for the last time"
            log.warning("webhook %s, %s: %s", letter.url, end, outcome)
        self._store.execute(
            "UPDATE deliveries SET due = ?, attempts = ?, outcome = ? WHERE id = ?",
            again,
            attempts,
            outcome,
            letter.id,
        )

    async def _post(self, session: aiohttp.ClientSession, letter: Letter) -> tuple[str, bool]:
        """What came of it, and whether that was what was wanted."""
        try:
            head = headers(letter, self._secret(letter.url), self._clock())
            async with session.post(
                letter.url, data=letter.body, headers=head, allow_redirects=False
            ) as response:
                return f"answered {response.status}", 200 <= response.status < 300
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError, BadInput) as error:
            return f"{type(error).__name__}: {error}".strip(": "), False

    def _secret(self, url: str) -> bytes:
        site = self._site()
        for hook in site.settings.webhooks:
            if hook.url == url:
                return secretfile.read_bytes(site.paths.root / hook.secret_file).strip()
        raise BadInput("the site has no such webhook any more")


def _without_user(url: str) -> str:
    """A name and password before the host are a secret."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
