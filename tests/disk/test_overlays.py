# SPDX-License-Identifier: GPL-2.0-or-later
"""An overlay on real filesystems: laid, changed by somebody, and laid again by an update."""

from pathlib import Path

import pytest
from tests import overlaying
from tests.applying import applied, captured
from tests.mounted import mounted
from tests.trees import needs_root, small_system
from tests.updates import updated

from swarmstrap.deployed import own_paths
from swarmstrap.effects.system.overlays import lay
from swarmstrap.overlays import overlay_steps, words
from swarmstrap.steps.system import LayOverlay
from swarmstrap_server.site.making import init
from swarmstrap_server.site.reading import read_site

pytestmark = needs_root


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs"])
async def test_an_update_brings_the_overlay_s_next_version(kind: str, tmp_path: Path) -> None:
    source, site = tmp_path / "source", tmp_path / "site"
    small_system(source)
    (source / "srv").mkdir()
    for name in ("motd", "issue.net"):
        (source / "etc" / name).write_text("of the image\n")
    image = captured(source, tmp_path)
    init(site, "lab", ["192.0.2.1"], None)
    (site / "nodes.yaml").write_text("nodes:\n- {name: n1, serial: a1}\n")
    with mounted(kind, tmp_path) as root:
        await applied(image.directory, image.manifest, root)
        overlaying.write_first(site)
        for step in steps(site):
            lay(step, root)
        overlaying.note(root)
        overlaying.write_second(site)
        laid = steps(site)
        await updated(root, image.directory, "/srv", *own_paths(laid))
        for step in laid:
            lay(step, root)
        overlaying.note(root)
        overlaying.check(root, "n1", "of the image\n")


def steps(path: Path) -> list[LayOverlay]:
    site = read_site(path)
    node = site.nodes["n1"]
    variables = {name: str(value) for name, value in node.variables.items()}
    return list(overlay_steps(site.overlays_of("n1"), words("n1", "", node.groups, variables)))
