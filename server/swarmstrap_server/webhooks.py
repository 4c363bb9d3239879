# SPDX-License-Identifier: GPL-2.0-or-later
"""Who wants to be told that a deployment or a rollout has ended is told, also after a restart."""

import asyncio
import logging
import secrets
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
    letter,
    letters,
    next_try,
    of_deployment,
    of_rollout,
    of_trial,
)
from swarmstrap_server.control.deliveries import Deliveries, Due
from swarmstrap_server.control.nodes import Deployment
from swarmstrap_server.control.operator_wire import Delivery, Hook, Try
from swarmstrap_server.control.store import Store
from swarmstrap_server.metrics import Metrics
from swarmstrap_server.rollouts.values import Rollout
from swarmstrap_server.site.checks import one_of
from swarmstrap_server.site.reading import Site
from swarmstrap_server.site.settings import Webhook, host_of

log = logging.getLogger(__name__)

_SECONDS = aiohttp.ClientTimeout(total=10.0)
_ALL = 16
_ID_BYTES = 8


@dataclass(frozen=True, slots=True)
class Unheard:
    """A hook that did not take its last message. `said` is what came of it, without a URL, which
    may be a secret by itself.
    """

    name: str
    said: str
    last: Delivery


class Webhooks:
    """Deliveries wait in the database until somebody answered 2xx, or all tries are used up."""

    def __init__(
        self, site: Callable[[], Site], store: Store, clock: Callable[[], float], metrics: Metrics
    ) -> None:
        self._site = site
        self._deliveries = Deliveries(store, clock)
        self._clock = clock
        self._metrics = metrics
        self._news = asyncio.Event()

    @property
    def pending(self) -> int:
        return self._deliveries.pending

    @property
    def _declared(self) -> dict[str, Webhook]:
        return {hook.url: hook for hook in self._site().settings.webhooks}

    def _called(self, url: str) -> str:
        hook = self._declared.get(url)
        return hook.called if hook else host_of(url)

    def hooks(self) -> list[Hook]:
        """Those of the site in its order, then others of which deliveries are kept."""
        declared = self._declared
        return [
            Hook(
                name=self._called(url),
                url=_without_user(url),
                events=hook.events if (hook := declared.get(url)) else (),
                in_site=hook is not None,
                deliveries=self._deliveries.of(url),
            )
            for url in dict.fromkeys((*declared, *self._deliveries.urls()))
        ]

    def unheard(self) -> tuple[Unheard, ...]:
        """Those of the site's hooks that a look at the fleet should show."""
        found = []
        for hook in self._declared.values():
            last = self._deliveries.last_tried(hook.url)
            if last and not last.delivered:
                said = last.outcome if last.outcome.startswith("answered") else "no answer"
                found.append(Unheard(hook.called, said, last))
        return tuple(found)

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
        for one in letters(message, self._site().settings.webhooks):
            self._deliveries.put(one, made=now, due=now)
        self._news.set()

    def tick(self) -> None:
        """Some are due again, and some are as old as nobody asks for."""
        self._deliveries.forget()
        self._news.set()

    async def test(self, name: str) -> Delivery:
        """What came of a message that says nothing, sent now and once; raises BadInput."""
        hooks = {hook.called: hook for hook in self._site().settings.webhooks}
        if complaint := one_of(name, list(hooks), "webhook"):
            raise BadInput(complaint, hint="see swarmstrap webhooks")
        hook, now = hooks[name], self._clock()
        sent = letter(of_trial(hook, secrets.token_hex(_ID_BYTES), now), hook)
        async with aiohttp.ClientSession(timeout=_SECONDS) as session:
            one = await self._try(session, sent)
        self._deliveries.put(sent, made=now, due=None)
        return self._deliveries.tried(sent, one, next_try=None)

    async def run(self) -> None:
        """Until cancelled. Nobody but the hooks themselves waits for the hooks."""
        async with aiohttp.ClientSession(timeout=_SECONDS) as session:
            while True:
                await self._news.wait()
                self._news.clear()
                while due := self._deliveries.due(_ALL):
                    await asyncio.gather(*(self._deliver(session, each) for each in due))

    async def _deliver(self, session: aiohttp.ClientSession, due: Due) -> None:
        one = await self._try(session, due.letter)
        again = None if one.taken else next_try(due.attempts + 1, self._clock())
        if not one.taken:
            end = "again later" if again is not None else "for the last time"
            log.warning("webhook %s, %s: %s", self._called(due.letter.url), end, one.outcome)
        self._deliveries.tried(due.letter, one, again)

    async def _try(self, session: aiohttp.ClientSession, sent: Letter) -> Try:
        at = self._clock()
        try:
            head = headers(sent, self._secret(sent.url), at)
            async with session.post(
                sent.url, data=sent.body, headers=head, allow_redirects=False
            ) as response:
                one = Try(at=at, status=response.status, outcome=f"answered {response.status}")
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError, BadInput) as error:
            outcome = f"{type(error).__name__}: {error}".strip(": ")
            one = Try(at=at, status=None, outcome=outcome)
        self._metrics.deliveries.labels("delivered" if one.taken else "failed").inc()
        return one

    def _secret(self, url: str) -> bytes:
        hook = self._declared.get(url)
        if hook is None:
            raise BadInput("the site has no such webhook any more")
        return secretfile.read_bytes(self._site().paths.root / hook.secret_file).strip()


def _without_user(url: str) -> str:
    """A name and password before the host are a secret."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
