# SPDX-License-Identifier: GPL-2.0-or-later
"""Words of the command line become virtual nodes, or one clear line."""

import pytest

from swarmstrap.errors import BadInput
from swarmstrap.units import Bytes, GiB
from swarmstrap_server.lab import fleet


def _parse(*specs: str) -> list[str]:
    nodes = fleet.parse(specs, memory=GiB, disk=Bytes(4 * GiB), cpus=1)
    assert len({node.mac for node in nodes}) == len({node.uuid for node in nodes}) == len(nodes)
    return [node.name for node in nodes]


def test_default_fleet_has_the_three_machines_of_the_demo() -> None:
    assert _parse(*fleet.DEFAULT) == ["bios-virtio", "uefi-nvme", "uefi-sata"]


def test_like_nodes_get_names_of_their_own() -> None:
    assert _parse("bios,sata,e1000", "bios,sata") == ["bios-sata", "bios-sata-2"]


@pytest.mark.parametrize(
    ("spec", "said"),
    [("uefi", "not a node: 'uefi'"), ("mbr,nvme", "unknown 'mbr'"), ("uefi,ide", "unknown 'ide'")],
)
def test_unknown_words_are_named(spec: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        _parse(spec)


def test_a_rehearsal_of_nothing_is_refused() -> None:
    with pytest.raises(BadInput, match="needs a node"):
        _parse()
