# SPDX-License-Identifier: GPL-2.0-or-later
"""The pages name every word that the product reads, and no other."""

import argparse
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from swarmstrap import cmdline
from swarmstrap.limits import Resource
from swarmstrap.manifest import NetworkStack
from swarmstrap.networks.checks import network_findings
from swarmstrap.networks.values import Bond, BondMode, Bridge, Interface, NicMatch, Route, Vlan
from swarmstrap.wire import Finish, OnFailure, Usage
from swarmstrap_server.commands import rehearse
from swarmstrap_server.lab.machines import Bus, Nic
from swarmstrap_server.lab.report import PHASES, NodeReport, Report
from swarmstrap_server.site.assembling import catalog, names_of
from swarmstrap_server.site.discovery import (
    COUNTS,
    NAMING,
    NUMBERS,
    SIZES,
    TEXTS,
    DiscoveryFile,
    rule_findings,
)
from swarmstrap_server.site.networkchecks import networks_in
from swarmstrap_server.site.settings import DhcpMode, Settings
from swarmstrap_server.site.words import (
    Entry,
    GroupEntry,
    GroupsFile,
    InterfaceEntry,
    Network,
    NetworksFile,
    NodeEntry,
    NodesFile,
)
from swarmstrap_server.site.yamlfile import parse

DOCS = Path(__file__).parents[2] / "docs"
SITE, GROUPS, DISCOVERY, REHEARSAL, NETWORK, LIMITS = (
    (DOCS / f"{page}.md").read_text()
    for page in ("site", "groups", "discovery", "rehearsal", "network", "swarm-limits")
)


def words(kind: type[msgspec.Struct]) -> set[str]:
    return {field.encode_name for field in msgspec.structs.fields(kind)}


def paths(kind: type[msgspec.Struct], above: str = "") -> Iterator[str]:
    """The keys of a struct and, with dots, of the structs in it."""
    for field in msgspec.structs.fields(kind):
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            yield from paths(field.type, f"{above}{field.encode_name}.")
        else:
            yield above + field.encode_name


def spans(text: str) -> set[str]:
    """Code within lines, without fenced blocks."""
    return set(re.findall(r"`([^`]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL)))


def first_column(text: str, heading: str) -> set[str]:
    """The code spans in the first column of the table below the row that begins with `heading`."""
    table = text[text.index(f"| {heading} |") :].partition("\n\n")[0]
    return {span for row in table.splitlines()[2:] for span in spans(row.split("|")[1])}


def test_site_yaml() -> None:
    section = SITE[SITE.index("## site.yaml") : SITE.index("## nodes/")]
    assert first_column(section, "key") == set(paths(Settings))


def test_node_files() -> None:
    section = SITE[SITE.index("## nodes/") :]
    assert first_column(section, "key") == words(NodeEntry)


def test_group_files() -> None:
    assert first_column(GROUPS, "key of a group") == words(GroupEntry) - words(Entry)


@pytest.mark.parametrize(
    ("heading", "kind"),
    [
        ("key of an interface", Interface),
        ("key of a bond", Bond),
        ("key of a bridge", Bridge),
        ("key of a VLAN", Vlan),
        ("key of a route", Route),
        ("key of `match`", NicMatch),
    ],
)
def test_network(heading: str, kind: type[msgspec.Struct]) -> None:
    assert first_column(NETWORK, heading) == words(kind)


def test_network_stacks() -> None:
    stacks = NETWORK[NETWORK.index("## Which stack") :]
    assert first_column(stacks, "stack") == set(get_args(NetworkStack))
    assert set(get_args(BondMode)) <= spans(NETWORK)


def test_the_network_of_the_page_is_right() -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", NETWORK, flags=re.DOTALL)
    (node,) = parse(example, NodesFile, name="network.md").value.nodes
    assert network_findings(node.network) == []


def test_networks_of_the_site() -> None:
    page = (DOCS / "networks.md").read_text()
    assert first_column(page, "key of a network") == words(Network)
    assert first_column(page, "key of an interface") == words(InterfaceEntry) - words(Interface)
    networks, groups = re.findall(r"```yaml\n(.*?)```", page, flags=re.DOTALL)
    known, problems = networks_in([parse(networks, NetworksFile, name="networks.yaml")])
    assert problems == []
    node = "nodes: [{name: n017, serial: a, groups: [compute], variables: {row: 3}}]"
    files = [parse(node, NodesFile, name="nodes.yaml")]
    site = catalog(files, [parse(groups, GroupsFile, name="groups.yaml")], known)
    lan, vlan = site.network("n017")
    assert network_findings((lan, vlan)) == []
    assert (lan.addresses, vlan.addresses) == (("10.1.1.17/16",), ("10.2.3.17/16",))


def test_values_that_are_words() -> None:
    assert set(get_args(DhcpMode) + get_args(Finish) + get_args(OnFailure)) <= spans(SITE)


def test_kernel_arguments() -> None:
    written = {span.partition("=")[0] for span in first_column(SITE, "argument")}
    assert written == {"BOOTIF", *(f"swarmstrap.{key}" for key in cmdline.KEYS)}
    assert set(cmdline.STOPS) <= spans(SITE)


def test_options_of_a_rehearsal() -> None:
    parser = argparse.ArgumentParser(add_help=False)
    rehearse.add_arguments(parser)
    known = set(re.findall(r"^  (--[a-z-]+)", parser.format_help(), re.MULTILINE))
    assert first_column(REHEARSAL, "option") == known
    assert set(get_args(Bus) + get_args(Nic)) <= spans(REHEARSAL)


def test_the_physical_limit() -> None:
    assert first_column(LIMITS, "`usage`") == words(Usage)
    assert set(get_args(Resource)) <= set(re.findall(r"^\| ([a-z ]+) \|", LIMITS, re.MULTILINE))


def test_report_of_a_rehearsal() -> None:
    nodes = {f"nodes[].{word}" for word in words(NodeReport)}
    assert first_column(REHEARSAL, "key") == words(Report) - {"nodes"} | nodes
    assert set(PHASES) <= spans(REHEARSAL)


@pytest.mark.parametrize("page", [*DOCS.glob("*.md"), *DOCS.parent.glob("*.md")], ids=str)
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"(?<!!)\[[^]]*\]\(([^)#]+)\)", page.read_text())
    local = [target for target in targets if "://" not in target]
    assert [target for target in local if not (page.parent / target).exists()] == []


def test_discovery() -> None:
    assert first_column(DISCOVERY, "key of `match`") == {*TEXTS, *SIZES, *COUNTS}
    (example,) = re.findall(r"```yaml\n(.*?)```", DISCOVERY, flags=re.DOTALL)
    rules = parse(example, DiscoveryFile, name="discovery.md").value.rules
    groups = {group for rule in rules for group in rule.groups}
    assert [found for rule in rules for found in rule_findings(rule, groups)] == []
    assert {f"{{{word}}}" for word in (*NAMING, *NUMBERS)} <= spans(DISCOVERY)


def test_the_groups_of_the_page_are_right() -> None:
    groups, nodes = re.findall(r"```yaml\n(.*?)```", GROUPS, flags=re.DOTALL)
    assert len(parse(groups, GroupsFile, name="groups.md").value.groups) == 3
    (node,) = parse(nodes, NodesFile, name="groups.md").value.nodes
    assert len(names_of(node)) == len(node.mac)
