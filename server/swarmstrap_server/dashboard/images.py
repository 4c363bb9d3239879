# SPDX-License-Identifier: GPL-2.0-or-later
"""The images' page: every version, by whom it was signed and what it is used for."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from swarmstrap.errors import Untrusted
from swarmstrap.manifest import Manifest
from swarmstrap.sshsig import Signers
from swarmstrap_server.control.nodes import Deployment
from swarmstrap_server.images.library import ImageStore
from swarmstrap_server.images.verify import verify_signature


@dataclass(frozen=True, slots=True)
class Version:
    """`signer` is empty where the signature does not hold, and `problem` then says why. `nodes`
    run it now.
    """

    manifest: Manifest
    tags: tuple[str, ...]
    newest: bool
    signer: str
    problem: str
    nodes: int


@dataclass(frozen=True, slots=True)
class ImagesPage:
    """By name, the newest version first; `broken` says why other folders are no images."""

    versions: tuple[Version, ...]
    broken: tuple[Untrusted, ...]


def images_page(store: ImageStore, signers: Signers, latest: Iterable[Deployment]) -> ImagesPage:
    """`latest` are the last deployments of all nodes. Raises BadInput for tags nobody can read."""
    found, tagged = store.scan(), store.tags.all()
    running = Counter((d.image, d.version) for d in latest if d.state == "deployed")
    newest = {image.manifest.name: image.manifest.version for image in found.images}
    versions = []
    for image in reversed(found.images):
        manifest = image.manifest
        name, version = manifest.name, manifest.version
        signer = problem = ""
        try:
            signer = verify_signature(image, signers)
        except Untrusted as error:
            problem = error.message
        tags = (tag for tag, of in tagged.get(name, {}).items() if of == version)
        versions.append(
            Version(
                manifest=manifest,
                tags=tuple(sorted(tags)),
                newest=newest[name] == version,
                signer=signer,
                problem=problem,
                nodes=running[name, version],
            )
        )
    versions.sort(key=lambda version: version.manifest.name)
    return ImagesPage(tuple(versions), found.broken)
