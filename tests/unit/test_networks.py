# SPDX-License-Identifier: GPL-2.0-or-later
"""Every folder of network_cases is a network: its files for each stack, or why there are none.

    nodes.yaml      as in a site, with one node, and right
    STACK.txt       what the plan writes, or the error

The NICs are those of nics.yaml. `pytest tests/unit/test_networks.py --update` rewrites the
expectations, for review.
"""

from pathlib import Path
from typing import get_args

import msgspec
import pytest
import yaml

from swarmstrap.errors import SwarmstrapError
from swarmstrap.hardware import Boot, Cpu, Inventory, Nic
from swarmstrap.manifest import Facts, NetworkStack
from swarmstrap.networks.checks import network_findings
from swarmstrap.networks.files import network_files
from swarmstrap.networks.values import Interface
from swarmstrap.placing import Identity
from swarmstrap.steps import WriteFile
from swarmstrap_server.site.settings import NodesFile
from swarmstrap_server.site.yamlfile import load

CASES = Path(__file__).parent / "network_cases"
NICS = msgspec.convert(
    yaml.load((CASES / "nics.yaml").read_text(), yaml.BaseLoader), tuple[Nic, ...]
)
MACHINE = Inventory(
    boot=Boot(current_boot_mode="uefi"), cpu=Cpu(architecture="x86_64"), interfaces=NICS
)
STACKS: tuple[NetworkStack, ...] = get_args(NetworkStack)


def network_of(case: Path) -> tuple[Interface, ...]:
    (node,) = load(case / "nodes.yaml", NodesFile, name="nodes.yaml").value.nodes
    return node.network


def files(stack: NetworkStack, network: tuple[Interface, ...]) -> list[WriteFile]:
    """For an image in which nothing else writes /etc/resolv.conf."""
    facts = Facts(network_stack=stack, resolver="none")
    return list(network_files(facts, network, MACHINE, Identity("d-2026-001", "web7")))


def outcome(stack: NetworkStack, network: tuple[Interface, ...]) -> str:
    try:
        written = files(stack, network)
    except SwarmstrapError as error:
        return f"{type(error).__name__}: {error}\n"
    return "\n".join(f"=== {file.path} {file.mode:04o}\n{file.content}" for file in written)


@pytest.mark.parametrize("stack", [stack for stack in STACKS if stack != "none"])
@pytest.mark.parametrize("case", sorted(CASES.glob("*/")), ids=lambda case: case.name)
def test_network(case: Path, stack: NetworkStack, request: pytest.FixtureRequest) -> None:
    network = network_of(case)
    assert network_findings(network) == []
    got = outcome(stack, network)
    expected = case / f"{stack}.txt"
    if request.config.getoption("--update"):
        expected.write_text(got)
    assert got == expected.read_text()
