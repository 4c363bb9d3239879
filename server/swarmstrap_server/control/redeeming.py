# SPDX-License-Identifier: GPL-2.0-or-later
"""Who gets a token and who does not, and whether a token still buys its job."""

from swarmstrap.errors import Untrusted
from swarmstrap_server.control.bearers import digest
from swarmstrap_server.control.nodes import MOST_BEGINNINGS, Deployment, arm_again
from swarmstrap_server.control.sessions import Token
from swarmstrap_server.times import clock_time

TOKEN_SECONDS = 600.0
# An agent that got no answer tries again for a minute, and a try ends after half of one.
CLAIM_SECONDS = 90.0
# An agent is heard every other second while it fetches: whoever comes meanwhile is another machine.
_ALIVE_SECONDS = 5.0
_ALIVE_PAUSES = 2.5


def token_ends(deployment: Deployment, now: float) -> float:
    """When a token that is given `now` is good no more: with the arming, at the latest."""
    ends = now + TOKEN_SECONDS
    return min(ends, deployment.until) if deployment.state == "armed" else ends


def is_alive(deployment: Deployment, now: float, pause: float) -> bool:
    """Whether its node has just been heard; agents are asked to `pause` seconds between batches."""
    within = max(_ALIVE_SECONDS, _ALIVE_PAUSES * pause)
    return deployment.heard is not None and now - deployment.heard < within


def answered_before(token: Token, deployment: Deployment, claim: str, now: float) -> bool:
    """Whether this is the one who used the token up, and who may not have heard the answer."""
    return (
        token.used is not None
        and token.claim == digest(claim)
        and now - token.used < CLAIM_SECONDS
        and deployment.state == "active"
    )


def check_redeemable(token: Token, deployment: Deployment, now: float, *, admitted: bool) -> None:
    """Raises Untrusted when the token is used or expired, or its node not `admitted` any more."""
    if token.used is not None:
        reason = f"token was already used at {clock_time(token.used)}"
    elif now >= token.expires:
        reason = f"token expired at {clock_time(token.expires)}"
    elif not admitted:
        reason = f"the arming is gone: {deployment.reason or deployment.state}"
    else:
        return
    raise Untrusted(reason, hint=arm_again(deployment))


def why_no_token(name: str, latest: Deployment | None) -> str:
    match latest.state if latest else None:
        case "expired" if latest:
            return f"the arming for {latest.title} expired at {clock_time(latest.until)}"
        case "active" if latest and latest.begun >= MOST_BEGINNINGS:
            return f"{latest.title} was begun {latest.begun} times, and has not come to its end"
        case "active" if latest and latest.started:
            return f"{latest.title} is under way since {clock_time(latest.started)}"
        case _:
            return f"not armed: swarmstrap deploy IMAGE --to {name}"
