# SPDX-License-Identifier: GPL-2.0-or-later
"""Which formats can be imported."""

from collections.abc import Callable, Mapping
from pathlib import Path

from swarmstrap.layout import Layout
from swarmstrap_server.layouts.importing.curtin import read_curtin
from swarmstrap_server.layouts.importing.ignition import read_ignition
from swarmstrap_server.layouts.importing.reading import Losses
from swarmstrap_server.layouts.importing.repart import read_repart

# Each raises BadInput for what is not of its format, and notes what it had to leave out.
READERS: Mapping[str, Callable[[Path, Losses], Layout]] = {
    "curtin": read_curtin,
    "ignition": read_ignition,
    "repart": read_repart,
}
