# SPDX-License-Identifier: GPL-2.0-or-later
"""Secrets that whoever bears them is let in by: operators' tokens and logins, nodes' tokens and
sessions. They are random 256 bits, so a plain SHA-256 cannot be guessed, and is all that is kept.
"""

import hashlib
import hmac
import secrets

_BYTES = 32


def new_secret() -> str:
    """43 characters that may stand in a URL."""
    return secrets.token_urlsafe(_BYTES)


def digest(secret: str) -> bytes:
    """What is kept of `secret`."""
    return hashlib.sha256(secret.encode()).digest()


def is_of(secret: str, kept: bytes) -> bool:
    """Whether `kept` is the digest of `secret`; in constant time."""
    return hmac.compare_digest(digest(secret), kept)
