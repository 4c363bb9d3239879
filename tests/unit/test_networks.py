# SPDX-License-Identifier: GPL-2.0-or-later
"""Every folder of network_cases is a network: its files for each stack, or why there are none.

    nodes.yaml      as in a site, with one node, and right
    STACK.txt       what the plan writes, or the error

The NICs are those of nics.yaml. `pytest tests/unit/test_networks.py --update` rewrites the
expectations, for review.
"""

import shutil
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
from swarmstrap.steps.system import WriteFile
from swarmstrap_server.run import run
from swarmstrap_server.site.words import NodesFile
from swarmstrap_server.site.yamlfile import load

CASES = Path(__file__).parent / "network_cases"
NICS = msgspec.convert(
    yaml.load((CASES / "nics.yaml").read_text(), yaml.BaseLoader), tuple[Nic, ...]
)
MACHINE = Inventory(
    boot=Boot(current_boot_mode="uefi"), cpu=Cpu(architecture="x86_64"), interfaces=NICS
)
GENERATE = shutil.which("generate", path="/usr/libexec/netplan:/lib/netplan")
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


def written_below(root: Path, case: Path, stack: NetworkStack) -> list[Path]:
    """None where the stack cannot have such a network."""
    try:
        rendered = files(stack, network_of(case))
    except SwarmstrapError:
        return []
    for file in rendered:
        place = root / file.path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(file.content)
        place.chmod(file.mode)
    return [root / file.path.lstrip("/") for file in rendered]


@pytest.mark.skipif(GENERATE is None, reason="netplan is not installed")
@pytest.mark.parametrize("renderer", ["networkd", "NetworkManager"])
def test_netplan_takes_its_files(tmp_path: Path, renderer: str) -> None:
    for case in CASES.glob("*/"):
        root = tmp_path / case.name
        if not written_below(root, case, "netplan"):
            continue
        other = root / "etc/netplan/01-image.yaml"
        other.touch(mode=0o600)
        other.write_text(f"network: {{version: 2, renderer: {renderer}}}\n")
        said = run([str(GENERATE), "--root-dir", root], timeout=60)
        assert said.stderr == ""
        names = [interface.name for interface in network_of(case) if interface.name]
        made = " ".join(path.name for path in (root / "run").rglob("*netplan-*"))
        assert [name for name in names if name not in made] == []


@pytest.mark.skipif(shutil.which("ifquery") is None, reason="ifupdown is not installed")
def test_ifupdown_takes_its_file(tmp_path: Path) -> None:
    for case in CASES.glob("*/"):
        for path in written_below(tmp_path / case.name, case, "ifupdown"):
            if path.name == "interfaces":
                said = run(["ifquery", f"--interfaces={path}", "--list"], timeout=60)
                made = [i.name for i in network_of(case) if i.kind != "nic"]
                assert set(made) <= set(said.stdout.split())


@pytest.mark.skipif(shutil.which("nmcli") is None, reason="NetworkManager is not installed")
def test_networkmanager_takes_its_files(tmp_path: Path) -> None:
    for case in CASES.glob("*/"):
        for path in written_below(tmp_path / case.name, case, "networkmanager"):
            if path.suffix == ".nmconnection":
                words = ["nmcli", "--offline", "connection", "modify", "connection.zone", "x"]
                said = run(words, timeout=60, stdin=path.read_bytes())
                assert "zone=x" in said.stdout
