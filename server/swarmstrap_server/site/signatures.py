# SPDX-License-Identifier: GPL-2.0-or-later
"""The publisher's signatures of what a site adds to its images. What runs as root on nodes, and
what is laid over their files, is the publisher's word, as images are.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from swarmstrap.errors import Untrusted
from swarmstrap.manifest import HOOK_NAMESPACE, OVERLAY_NAMESPACE
from swarmstrap.overlays import listing
from swarmstrap.wire import Overlay
from swarmstrap_server.images.signing import Key, claimed, verify
from swarmstrap_server.site.paths import SIGNATURE_SUFFIX, SitePaths
from swarmstrap_server.site.reading import HookFile, Site

Kind = Literal["hook", "overlay"]
_NAMESPACES: dict[Kind, str] = {"hook": HOOK_NAMESPACE, "overlay": OVERLAY_NAMESPACE}


@dataclass(frozen=True, slots=True)
class Signable:
    """A hook or an overlay at `path`: `data` is what the publisher signs of it, and `signature` is
    empty while nobody has.
    """

    kind: Kind
    name: str
    path: Path
    data: bytes
    signature: bytes

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


def signable(one: HookFile | Overlay, paths: SitePaths) -> Signable:
    if isinstance(one, Overlay):
        path = paths.overlays / one.name
        return Signable("overlay", one.name, path, listing(one), one.signature)
    return Signable("hook", one.name, one.path, one.content, one.signature)


def signables(site: Site, kind: Kind) -> Iterator[Signable]:
    for one in site.hooks if kind == "hook" else site.overlays.values():
        yield signable(one, site.paths)


def check_signed(one: Signable, paths: SitePaths) -> None:
    """Raises Untrusted unless the publisher signed it as it is now."""
    namespace = _NAMESPACES[one.kind]
    try:
        verify(one.data, one.signature, namespace=namespace, signers=paths.signers)
    except Untrusted as error:
        raise Untrusted(f"{one}: {error.message}", hint=how_to_sign(one.kind, paths)) from error


def unsigned(given: Iterable[Signable], paths: SitePaths) -> Iterator[Signable]:
    """Those that are not signed as they are now."""
    for one in given:
        try:
            check_signed(one, paths)
        except Untrusted:
            yield one


def sign(site: Site, kind: Kind, key: Key, *, instead_of: str = "") -> list[Signable]:
    """Sign all that is not signed as it is now, or is signed `instead_of` by the key of this
    fingerprint; those are returned.
    """
    given = list(signables(site, kind))
    wrong = {one.path for one in unsigned(given, site.paths)}
    signed = [one for one in given if one.path in wrong or claimed(one.signature) == instead_of]
    for one in signed:
        signature = key.sign(one.data, _NAMESPACES[kind])
        one.path.with_name(one.path.name + SIGNATURE_SUFFIX).write_bytes(signature)
    return signed


def how_to_sign(kind: Kind, paths: SitePaths) -> str:
    """In a site whose keys were allowed before there were overlays, signing is not enough."""
    allowed, namespace = paths.allowed_signers.read_text(), _NAMESPACES[kind]
    again = f"run swarmstrap {kind} sign"
    if "namespaces=" in allowed and namespace not in allowed:
        return f"add {namespace} to the namespaces in keys/allowed_signers; {again}"
    return again
