# SPDX-License-Identifier: GPL-2.0-or-later
"""What the nodes of a site would refuse, refused before a node is armed."""

from collections.abc import Iterable

from swarmstrap.floors import check_floors
from swarmstrap_server.images.library import Image
from swarmstrap_server.images.verify import verify_signature
from swarmstrap_server.site.hooks import check_signed
from swarmstrap_server.site.reading import Site


def check_image(site: Site, image: Image) -> None:
    """Raises Untrusted when the publisher did not sign `image`, or the site will not have it."""
    verify_signature(image, site.paths.signers)
    check_floors(image.manifest, site.floors)


def check_hooks(site: Site, nodes: Iterable[str]) -> None:
    """Raises Untrusted for a hook of one of the `nodes` that is not signed as it is now."""
    for hook in dict.fromkeys(hook for node in nodes for hook in site.hooks_of(node)):
        check_signed(hook, site.paths)
