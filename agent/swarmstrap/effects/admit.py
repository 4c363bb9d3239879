# SPDX-License-Identifier: GPL-2.0-or-later
"""What a job must prove before anything of the node is written: trust is in signatures."""

import re

from swarmstrap.effects.transfer.swarm import Torrent, load
from swarmstrap.effects.trust import verify_signature
from swarmstrap.errors import BadInput, Untrusted
from swarmstrap.floors import Floors, check_floors
from swarmstrap.hardware import Inventory
from swarmstrap.manifest import (
    HOOK_NAMESPACE,
    INDEX_FILE,
    OVERLAY_NAMESPACE,
    PAYLOAD_FILE,
    SIGNATURE_NAMESPACE,
    Manifest,
    check_architecture,
    parse_manifest,
)
from swarmstrap.overlays import check_overlay, listing
from swarmstrap.sshsig import Signers
from swarmstrap.wire import Hook, Job, Overlay

_HOOK_NAME = re.compile(r"\d\d-[A-Za-z0-9._-]+")


def admit(
    inventory: Inventory, job: Job, signers: Signers, floors: Floors
) -> tuple[Manifest, Torrent]:
    """The image's manifest and torrent; raises Untrusted or BadInput unless all of it holds.

    The manifest is the publisher's, is not too old, is for this architecture and names the torrent,
    and every hook and overlay is the publisher's. Blocking.
    """
    verify_signature(
        job.manifest,
        job.signature,
        namespace=SIGNATURE_NAMESPACE,
        signers=signers,
    )
    manifest = parse_manifest(job.manifest)
    check_floors(manifest, floors)
    check_architecture(manifest, inventory.cpu.architecture)
    torrent = load(job.torrent, manifest.infohash)
    check_files(torrent, manifest)
    for hook in job.hooks:
        _admit_hook(hook, signers)
    for overlay in job.overlays:
        _admit_overlay(overlay, signers)
    return manifest, torrent


def check_files(torrent: Torrent, manifest: Manifest) -> None:
    """Raises Untrusted unless the torrent holds the two files that the manifest names."""
    named = ((INDEX_FILE, manifest.index.size), (PAYLOAD_FILE, manifest.payload.size))
    if torrent.files != tuple((f"{torrent.name}/{name}", size) for name, size in named):
        raise Untrusted(
            f"the torrent does not hold {INDEX_FILE} and {PAYLOAD_FILE} as the manifest says",
            hint="publish the image again",
        )


def _admit_hook(hook: Hook, signers: Signers) -> None:
    if not _HOOK_NAME.fullmatch(hook.name):
        raise BadInput(f"hook name {hook.name!r} is not usable", hint="name it as in 10-monitoring")
    _check_signed("hook", hook.name, hook.content, hook.signature, HOOK_NAMESPACE, signers)


def _admit_overlay(overlay: Overlay, signers: Signers) -> None:
    check_overlay(overlay)
    signed = listing(overlay)
    _check_signed("overlay", overlay.name, signed, overlay.signature, OVERLAY_NAMESPACE, signers)


def _check_signed(
    kind: str, name: str, data: bytes, signature: bytes, namespace: str, signers: Signers
) -> None:
    try:
        verify_signature(data, signature, namespace=namespace, signers=signers)
    except Untrusted as error:
        hint = f"run swarmstrap {kind} sign"
        raise Untrusted(f"{kind} {name}: {error.message}", hint=hint) from error
