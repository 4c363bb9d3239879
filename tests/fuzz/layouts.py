# SPDX-License-Identifier: GPL-2.0-or-later
"""Files of other tools that become layouts, and what to try on them."""

import json
from collections.abc import Callable
from pathlib import Path

import yaml
from hypothesis import strategies as some
from tests.fuzz.mutations import Tree, changed
from tests.fuzz.watched import Watched

from swarmstrap.layout import Layout
from swarmstrap_server.layouts.importing.choose import READERS
from swarmstrap_server.layouts.importing.reading import Losses
from swarmstrap_server.layouts.writing import layout_yaml
from swarmstrap_server.site.yamlfile import parse

CASES = Path(__file__).parents[1] / "unit/layout_imports"
CURTIN, IGNITION = "curtin-*/source.yaml", "ignition-*/source.ign"
_WORDS = ["", "-1", "10%", "/", "none", "raid", "linear", "a: b", "'", '"', "#", "@", "~", "true"]
_WORDS += ["1.5", "0x10", "x\ny", "\u2028", "é" * 40, "/dev/sda", "/dev/md/root", "2001-01-01"]


def importing(format_: str) -> Callable[[Watched, bytes], None]:
    """What is read becomes YAML that reads back as the same layout, losses that can be shown."""

    def target(place: Watched, data: bytes) -> None:
        source = place.folder / "source"
        source.write_bytes(data)
        losses = Losses()
        with place.watching():
            layout = READERS[format_](source, losses)
        assert parse(layout_yaml(layout), Layout, name="layout.yaml").value == layout
        assert all(str(loss).isprintable() for loss in losses.found)

    return target


def sources(pattern: str) -> tuple[bytes, ...]:
    """The imports that are known to work."""
    return tuple(path.read_bytes() for path in sorted(CASES.glob(pattern)))


def configurations(pattern: str) -> some.SearchStrategy[bytes]:
    """The same as JSON, which is YAML too, with parts exchanged."""
    origins: list[Tree] = [yaml.safe_load(source) for source in sources(pattern)]
    bent = some.sampled_from(origins).flatmap(lambda tree: changed(tree, _WORDS))
    return bent.map(lambda tree: json.dumps(tree).encode())
