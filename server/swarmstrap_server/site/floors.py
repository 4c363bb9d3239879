# SPDX-License-Identifier: GPL-2.0-or-later
"""floors.yaml: written by commands, read like every other file of the site, kept in git."""

from swarmstrap.errors import BadInput
from swarmstrap.floors import Floors
from swarmstrap.manifest import Manifest
from swarmstrap_server.files import replace
from swarmstrap_server.site.paths import SitePaths
from swarmstrap_server.site.reading import read_floors

_HEAD = """\
# What may not be deployed any more. `swarmstrap image floor` and `image revoke` write this file,
# and keep no comments. Nodes know it from their initramfs: run `swarmstrap initramfs` afterwards.
"""


def raise_floor(paths: SitePaths, manifest: Manifest) -> None:
    """Nothing of the image that is older than this version is deployed from now on."""
    known = read_floors(paths)
    floor = known.floors.get(manifest.name, "")
    if manifest.created < floor:
        raise BadInput(
            f"the floor of {manifest.name} is {floor}; this version is of {manifest.created}",
            hint="to go below a floor, edit floors.yaml: somebody should see that in git",
        )
    floors = {**known.floors, manifest.name: manifest.created}
    _write(paths, Floors(floors=floors, revoked=known.revoked))


def revoke_version(paths: SitePaths, manifest: Manifest) -> None:
    """This version is not deployed any more; newer and older ones are."""
    known = read_floors(paths)
    revoked = {**known.revoked, manifest.infohash: f"{manifest.name}:{manifest.version}"}
    _write(paths, Floors(floors=known.floors, revoked=revoked))


def _write(paths: SitePaths, floors: Floors) -> None:
    lines = []
    for key, entries in (("floors", floors.floors), ("revoked", floors.revoked)):
        if entries:
            lines += [f"{key}:", *(f"  {name}: {value}" for name, value in sorted(entries.items()))]
    replace(paths.floors, (_HEAD + "\n".join(lines) + "\n").encode())
