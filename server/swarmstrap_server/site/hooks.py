# SPDX-License-Identifier: GPL-2.0-or-later
"""Signing the site's hooks: what runs as root on nodes is the publisher's word, as images are."""

from swarmstrap.errors import Untrusted
from swarmstrap.manifest import HOOK_NAMESPACE
from swarmstrap_server.images.signing import Key, claimed, verify
from swarmstrap_server.site.paths import SIGNATURE_SUFFIX, SitePaths
from swarmstrap_server.site.reading import HookFile, Site


def check_signed(hook: HookFile, paths: SitePaths) -> None:
    """Raises Untrusted unless the publisher signed the hook as it is now."""
    try:
        verify(hook.content, hook.signature, namespace=HOOK_NAMESPACE, signers=paths.signers)
    except Untrusted as error:
        hint = "run swarmstrap hook sign"
        raise Untrusted(f"hook {hook.name}: {error.message}", hint=hint) from error


def is_signed(hook: HookFile, paths: SitePaths) -> bool:
    """As `check_signed`."""
    try:
        check_signed(hook, paths)
    except Untrusted:
        return False
    return True


def sign_hooks(site: Site, key: Key, *, instead_of: str = "") -> list[HookFile]:
    """Sign every hook that is not signed as it is now, or is signed `instead_of` by the key of this
    fingerprint; those are returned.
    """
    unsigned = [
        hook
        for hook in site.hooks
        if not is_signed(hook, site.paths) or claimed(hook.signature) == instead_of
    ]
    for hook in unsigned:
        signature = key.sign(hook.content, HOOK_NAMESPACE)
        hook.path.with_name(hook.path.name + SIGNATURE_SUFFIX).write_bytes(signature)
    return unsigned
