# SPDX-License-Identifier: GPL-2.0-or-later
"""What a job must prove before anything of the node is written: trust is in signatures."""

import re
from pathlib import Path

from swarmstrap.effects.swarm import Torrent, load
from swarmstrap.effects.trust import verify_signature
from swarmstrap.errors import BadInput, Untrusted
from swarmstrap.hardware import Inventory
from swarmstrap.manifest import (
    HOOK_NAMESPACE,
    SIGNATURE_NAMESPACE,
    Manifest,
    check_architecture,
    parse_manifest,
)
from swarmstrap.wire import Hook, Job

_HOOK_NAME = re.compile(r"\d\d-[A-Za-z0-9._-]+")


def admit(inventory: Inventory, job: Job, allowed_signers: Path) -> tuple[Manifest, Torrent]:
    """The image's manifest and torrent; raises Untrusted or BadInput unless all of it holds.

    The manifest is the publisher's, is for this architecture and names the torrent, and every
    hook is the publisher's. Blocking.
    """
    verify_signature(
        job.manifest,
        job.signature,
        namespace=SIGNATURE_NAMESPACE,
        allowed_signers=allowed_signers,
    )
    manifest = parse_manifest(job.manifest)
    check_architecture(manifest, inventory.architecture)
    torrent = load(job.torrent, manifest.infohash)
    for hook in job.hooks:
        _admit_hook(hook, allowed_signers)
    return manifest, torrent


def _admit_hook(hook: Hook, allowed_signers: Path) -> None:
    if not _HOOK_NAME.fullmatch(hook.name):
        raise BadInput(f"hook name {hook.name!r} is not usable", hint="name it as in 10-monitoring")
    try:
        verify_signature(
            hook.content,
            hook.signature,
            namespace=HOOK_NAMESPACE,
            allowed_signers=allowed_signers,
        )
    except Untrusted as error:
        raise Untrusted(
            f"hook {hook.name}: {error.message}", hint="run swarmstrap hook sign"
        ) from error
