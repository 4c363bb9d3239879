# SPDX-License-Identifier: GPL-2.0-or-later
"""The pages about power and deploying name every word that there is, and no other."""

import argparse
import re
from typing import get_args

import pytest
from tests.unit.test_docs import DOCS, first_column, words

from swarmstrap_server.commands import deploy
from swarmstrap_server.power.words import Exec, Ipmi, NoPower, Power, Redfish, Ssh, Wol
from swarmstrap_server.rollouts.values import MemberState, Pace
from swarmstrap_server.site.assembling import catalog
from swarmstrap_server.site.networks import NONE
from swarmstrap_server.site.words import GroupsFile, NodesFile
from swarmstrap_server.site.yamlfile import parse

POWER, DEPLOYING = ((DOCS / f"{page}.md").read_text() for page in ("power", "deploying"))


@pytest.mark.parametrize("kind", [Redfish, Ipmi, Wol, Ssh, Exec])
def test_the_keys_of_each_driver(kind: type[Redfish | Ipmi | Wol | Ssh | Exec]) -> None:
    assert first_column(POWER, f"key of `{kind.__struct_config__.tag}`") == words(kind)


def test_drivers() -> None:
    known = {str(kind.__struct_config__.tag) for kind in get_args(Power)}
    assert first_column(POWER, "`driver`") == known


def test_the_groups_of_the_page_are_right() -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", POWER, flags=re.DOTALL)
    groups = parse(example, GroupsFile, name="power.md")
    nodes = parse("nodes: [{name: o07, mac: 52:54:00:12:34:56}]", NodesFile, name="nodes.yaml")
    power = catalog([nodes], [groups], NONE).node("o07").power
    assert isinstance(power, Ipmi)
    assert power.address == "10.9.0.7"
    assert not isinstance(power, NoPower)


def test_states_and_deadlines() -> None:
    assert first_column(DEPLOYING, "state") == set(get_args(MemberState))
    pace = Pace()
    assert f"| `powering` | its BMC says that it is on | {pace.power_seconds:.0f} s |" in DEPLOYING
    assert f"| `booting` | it takes its job | {pace.boot_seconds:.0f} s |" in DEPLOYING


def test_options() -> None:
    parser = argparse.ArgumentParser(add_help=False)
    deploy.add_commands(parser.add_subparsers())
    told = {span.split()[0] for span in first_column(DEPLOYING, "option")}
    (action,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    known = set(action.choices["deploy"]._option_string_actions)
    assert told <= known
