# SPDX-License-Identifier: GPL-2.0-or-later
"""What the nodes of a site would refuse, refused before a node is armed."""

from collections.abc import Collection, Iterable

from swarmstrap.errors import Refused, SwarmstrapError
from swarmstrap.floors import check_floors
from swarmstrap.overlays import overlay_steps
from swarmstrap_server.control.jobs import template_words
from swarmstrap_server.images.library import Image
from swarmstrap_server.images.verify import verify_signature
from swarmstrap_server.site.reading import Site
from swarmstrap_server.site.signatures import check_signed, signable


def check_image(site: Site, image: Image) -> None:
    """Raises Untrusted when the publisher did not sign `image`, or the site will not have it."""
    verify_signature(image, site.paths.signers)
    check_floors(image.manifest, site.floors)


def check_hooks(site: Site, nodes: Iterable[str]) -> None:
    """Raises Untrusted for a hook of one of the `nodes` that is not signed as it is now."""
    for hook in dict.fromkeys(hook for node in nodes for hook in site.hooks_of(node)):
        check_signed(signable(hook, site.paths), site.paths)


def check_overlays(site: Site, nodes: Collection[str], image: Image) -> None:
    """Raises Untrusted for an overlay of one of the `nodes` that is not signed as it is now, and
    Refused for one that cannot be laid on it.
    """
    laid = {name: site.overlays_of(name) for name in nodes}
    for overlay in {overlay.name: overlay for own in laid.values() for overlay in own}.values():
        check_signed(signable(overlay, site.paths), site.paths)
    for node, overlays in laid.items():
        if not overlays:
            continue
        if image.manifest.disk is not None:
            raise Refused(
                f"node {node}: overlay {overlays[0].name} cannot be laid over an image of a disk",
                hint="say `overlays: []` for the node, or deploy a tree",
            )
        try:
            list(overlay_steps(overlays, template_words(site, node)))
        except SwarmstrapError as error:
            raise Refused(f"node {node}: {error.message}", hint=error.hint) from error
