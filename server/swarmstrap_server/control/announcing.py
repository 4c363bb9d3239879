# SPDX-License-Identifier: GPL-2.0-or-later
"""What webhooks are told, as Standard Webhooks have it, and when they are tried again. Pure."""

import base64
import hashlib
import hmac
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Literal

import msgspec

from swarmstrap_server.control.nodes import Deployment
from swarmstrap_server.rollouts.values import Rollout
from swarmstrap_server.site.settings import Webhook, WebhookEvent

# Seconds after each try that failed; then nobody is told any more.
DELAYS = (5.0, 30.0, 300.0, 1800.0, 7200.0)

_EVENTS: dict[str, WebhookEvent] = {
    "deployed": "deployment.deployed",
    "failed": "deployment.failed",
    "planned": "deployment.planned",
    "expired": "deployment.expired",
}


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """What is sent for somebody who wants to see whether `webhook` hears."""

    id: str
    webhook: str


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """`timestamp` is of the event, as in 2027-01-15T08:00:00+00:00."""

    type: WebhookEvent | Literal["webhook.test"]
    timestamp: str
    data: Deployment | Rollout | Trial


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """A message to one hook. The same event to the same hook has the same `id`."""

    id: str
    url: str
    body: bytes


def of_deployment(deployment: Deployment) -> Message | None:
    """None for an end that nobody is told of: the operator disarmed it."""
    event = _EVENTS.get(deployment.state)
    if event is None or deployment.ended is None:
        return None
    return Message(type=event, timestamp=_clock(deployment.ended), data=deployment)


def of_rollout(rollout: Rollout, ended: float) -> Message:
    return Message(type="rollout.ended", timestamp=_clock(ended), data=rollout)


def of_trial(hook: Webhook, key: str, now: float) -> Message:
    """`key` is for this trial alone."""
    return Message(
        type="webhook.test", timestamp=_clock(now), data=Trial(id=key, webhook=hook.called)
    )


def letters(message: Message, hooks: Iterable[Webhook]) -> Iterator[Letter]:
    """One for each hook that wants to hear of it."""
    return (letter(message, h) for h in hooks if not h.events or message.type in h.events)


def letter(message: Message, hook: Webhook) -> Letter:
    subject = f"{message.type} {message.data.id} {message.timestamp} {hook.url}"
    key = f"msg_{hashlib.sha256(subject.encode()).hexdigest()[:32]}"
    return Letter(id=key, url=hook.url, body=msgspec.json.encode(message))


def headers(letter: Letter, secret: bytes, now: float) -> dict[str, str]:
    """`webhook-signature` is HMAC-SHA256 of id, time and body, with dots between them."""
    stamp = str(int(now))
    signed = b".".join((letter.id.encode(), stamp.encode(), letter.body))
    digest = base64.b64encode(hmac.digest(secret, signed, "sha256")).decode()
    return {
        "Content-Type": "application/json",
        "webhook-id": letter.id,
        "webhook-timestamp": stamp,
        "webhook-signature": f"v1,{digest}",
    }


def next_try(attempts: int, now: float) -> float | None:
    """After so many tries that failed; None when that was the last."""
    return now + DELAYS[attempts - 1] if attempts <= len(DELAYS) else None


def _clock(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
