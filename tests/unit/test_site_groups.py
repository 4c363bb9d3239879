# SPDX-License-Identifier: GPL-2.0-or-later
"""Groups: who is in them, whose word holds, and what is wrong with them."""

from pathlib import Path

import pytest

from swarmstrap.errors import BadInput
from swarmstrap_server.power.words import Ipmi, NoPower, Redfish
from swarmstrap_server.site.ranges import expand, fold, split
from swarmstrap_server.site.reading import Site, examine_site, read_site

NODES = """\
nodes:
- name: n[01-04]
  uuid:
  - 00000000-0000-4000-8000-000000000001
  - 00000000-0000-4000-8000-000000000002
  - 00000000-0000-4000-8000-000000000003
  - 00000000-0000-4000-8000-000000000004
  hostname: "{name}.example"
- name: head
  mac: 52:54:00:00:00:01
  layout: small
  groups: [service]
  variables: {role: head}
"""
GROUPS = """\
groups:
- name: all
  rack: r0
  variables: {role: none, site: lab}
- name: compute
  priority: 10
  members: ["n[01-04]"]
  layout: big
  variables: {role: compute}
- name: gpu
  priority: 10
  members: [n04]
  layout: small
- name: service
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "layouts").mkdir()
    layout = "disks:\n- id: system\n  partitions:\n  - {label: root, type: root, size_min: 1GiB, "
    for name in ("default", "small", "big"):
        (tmp_path / "layouts" / f"{name}.yaml").write_text(f"{layout}format: ext4, mount: /}}\n")
    (tmp_path / "site.yaml").write_text("name: test\naddress: 192.0.2.1\n")
    (tmp_path / "nodes.yaml").write_text(NODES)
    return tmp_path


def read(root: Path, groups: str = GROUPS) -> Site:
    (root / "groups.yaml").write_text(groups)
    return read_site(root)


def problems(root: Path, groups: str) -> list[str]:
    (root / "groups.yaml").write_text(f"groups:\n{groups}")
    return [str(problem) for problem in examine_site(root)[1]]


WITHOUT_DISPUTE = GROUPS.replace("- name: gpu\n  priority: 10", "- name: gpu\n  priority: 20")


def test_a_node_has_its_own_word_then_that_of_its_groups_by_priority(root: Path) -> None:
    nodes = read(root, WITHOUT_DISPUTE).nodes
    assert nodes["n01"].layout == "big"
    assert nodes["n04"].layout == "small"
    assert nodes["head"].layout == "small"
    assert {node.rack for node in nodes.values()} == {"r0"}
    assert nodes["n04"].groups == ("gpu", "compute", "all")


def test_variables_are_merged_key_by_key(root: Path) -> None:
    nodes = read(root, WITHOUT_DISPUTE).nodes
    assert nodes["head"].variables == {"role": "head", "site": "lab"}
    assert nodes["n01"].variables == {"role": "compute", "site": "lab"}


def test_every_value_knows_its_line(root: Path) -> None:
    said = read(root, WITHOUT_DISPUTE).catalog.merged("n04").said
    assert (said["layout"].place, said["layout"].layer.owner) == ("groups.yaml:13", "group gpu")
    assert said["variables.site"].place == "groups.yaml:4"
    assert (said["hostname"].place, said["hostname"].layer.owner) == ("nodes.yaml:8", "the node")


def test_two_groups_that_disagree_are_named_with_their_lines(root: Path) -> None:
    (root / "groups.yaml").write_text(GROUPS)
    (problem,) = (str(problem) for problem in examine_site(root)[1])
    assert problem == (
        "groups.yaml:8: layout is another one in group gpu (groups.yaml:13), "
        "which has the same priority"
    )


def test_a_dispute_that_the_node_settles_is_none(root: Path) -> None:
    (root / "nodes.yaml").write_text("nodes:\n- {name: n04, serial: A1, layout: default}\n")
    assert problems(root, "- {name: a, members: [n04], layout: big}\n") == []
    again = "- {name: a, members: [n04], layout: big}\n- {name: b, members: [n04], layout: small}\n"
    assert problems(root, again) == []


def test_within_a_priority_the_inner_group_holds(root: Path) -> None:
    site = read(
        root,
        "groups:\n- {name: room, groups: [row], layout: big}\n"
        "- {name: row, groups: [rack], rack: r1}\n- {name: rack, members: [n02], layout: small}\n"
        "- name: service\n",
    )
    assert site.nodes["n02"].layout == "small"
    assert site.members("room") == ("n02",)
    assert site.nodes["n02"].groups == ("rack", "row", "room", "all")


def test_a_range_gives_each_node_its_own(root: Path) -> None:
    nodes = read(root, WITHOUT_DISPUTE).nodes
    assert nodes["n03"].uuid.endswith("3")
    assert nodes["n03"].hostname == "n03.example"


def test_a_number_in_an_address(root: Path) -> None:
    network = '[{match: {driver: e1000e}, dhcp: false, addresses: ["192.0.2.{n}/24"]}]'
    site = read(root, f"{WITHOUT_DISPUTE}- name: c\n  members: [n03]\n  network: {network}\n")
    assert site.nodes["n03"].network[0].addresses == ("192.0.2.3/24",)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["n02"], "n02"),
        (["compute"], "n01 n02 n03 n04"),
        (["all"], "n01 n02 n03 n04 head"),
        (["gpu", "n[03-04]"], "n04 n03"),
        (["n[01,03],head"], "n01 n03 head"),
        (["stranger"], "stranger"),
    ],
)
def test_targets(root: Path, words: list[str], expected: str) -> None:
    site = read(root, WITHOUT_DISPUTE)
    assert site.targets(words, ["stranger"]) == tuple(expected.split())


@pytest.mark.parametrize(
    ("word", "complaint"),
    [
        ("compue", "no node 'compue', did you mean 'compute'?"),
        ("n[01-09]", "no node 'n05'"),
        ("service-x", "no node"),
        ("n[1-", "is not a range"),
        ("", "no node ''"),
        ("empty", "group empty has no members"),
    ],
)
def test_targets_that_mean_nobody(root: Path, word: str, complaint: str) -> None:
    site = read(root, f"{WITHOUT_DISPUTE}- name: empty\n")
    with pytest.raises(BadInput) as refused:
        site.targets([word])
    assert complaint in str(refused.value)


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ("- {name: g, members: [n05]}", "groups.yaml:2: no node 'n05', did you mean 'n04'?"),
        ("- {name: g, members: ['n[10-20]']}", "groups.yaml:2: there is no node of n[10-20]"),
        ("- {name: g, members: ['n[1']}", "groups.yaml:2: 'n[1' is not a range"),
        ("- {name: g, groups: [h]}", "groups.yaml:2: no group 'h'"),
        ("- {name: g, groups: [g]}", "groups.yaml:2: group g contains itself"),
        ("- {name: G}", "groups.yaml:2: 'G' is not a group's name"),
        ("- {name: head}", "name head is also that of"),
        ("- {name: g, layout: bigg}", "groups.yaml:2: no layout 'bigg', did you mean 'big'?"),
        ("- {name: g, members: ['n[01-04]'], hooks: [10-x]}", "groups.yaml:2: no hook '10-x'"),
        ("- {name: g, image: A/b}", "groups.yaml:2: not a name for an image: 'A/b'"),
        ("- {name: g, variables: {a-b: 1}}", "groups.yaml:2: 'a-b' is not a variable's name"),
        ('- {name: g, variables: {a: "b\\nc"}}', "groups.yaml:2: 'b\\nc' is not one line of text"),
        ("- {name: g, kernel_arguments: a;b}", "groups.yaml:2: 'a;b' has characters"),
        ("- {name: g, mac: a}", "unknown key 'mac' in a group entry"),
        ("- {name: all, members: [n01]}", "groups.yaml:2: every node is in group all"),
    ],
)
def test_what_is_wrong_with_a_group(root: Path, groups: str, expected: str) -> None:
    """Once, however many nodes are in it."""
    found = problems(root, f"{groups}\n- name: service\n")
    assert len(found) == 1
    assert expected in found[0]


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        ("{name: 'n[1-3]', serial: [a, b]}", "2: n[1-3] needs a list of 3, one for each node"),
        ("{name: 'n[1-2]', mac: 52:54:00:00:00:01}", "2: n[1-2] needs a list of 2"),
        ("{name: n1, serial: [a, b]}", "2: a list of serials is for a range of nodes"),
        ("{name: n1, mac: [[52:54:00:00:00:01]]}", "2: a list of macs is for a range of nodes"),
        ("{name: n1, serial: ' a'}", "2: ' a' is not a serial number"),
        ("{name: n1, serial: a, groups: [servce]}", "2: no group 'servce', did you mean 'service'"),
        ("{name: 'n[1-99999]', serial: a}", "is not a range of at most 65536 names"),
        ("{name: all, serial: a}", "2: name all is also that of the group of all nodes"),
        ("{name: 'n[1-2]', serial: [a, a]}", "2: serial a is also that of node n[1-2]"),
    ],
)
def test_what_is_wrong_with_a_node(root: Path, node: str, expected: str) -> None:
    (root / "nodes.yaml").write_text(f"nodes:\n- {node}\n")
    found = problems(root, "- name: service\n")
    assert len(found) == 1
    assert expected in found[0]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("n[001-003]", "n001 n002 n003"),
        ("r[1-2]n[09-10]", "r1n09 r1n10 r2n09 r2n10"),
        ("n[1-7/3]-ib", "n1-ib n4-ib n7-ib"),
    ],
)
def test_ranges_there_and_back(text: str, names: str) -> None:
    assert expand(text) == tuple(names.split())
    assert expand(fold(names.split())) == tuple(names.split())


@pytest.mark.parametrize(
    "text", ["n[1-999999999]", "n[1-9999][1-9999]", "n[3-1]", "n[a-b]", "n[]", "n[1-2]!n1", "@all["]
)
def test_what_is_no_range(text: str) -> None:
    with pytest.raises(BadInput):
        expand(text)


def test_commas_between_words_and_within_brackets() -> None:
    assert split("gpu,n[1,3-4],head") == ["gpu", "n[1,3-4]", "head"]


POWER = """\
groups:
- name: all
  power: {driver: redfish, username: admin, password_file: keys/bmc, verify: false}
- {name: old, members: [n01], power: {driver: ipmi}}
- {name: service, power: {driver: none}}
"""


def test_power_is_put_together_from_group_and_node(root: Path) -> None:
    (root / "nodes.yaml").write_text(
        NODES.replace("  hostname:", '  power: {address: "b{n}"}\n  hostname:')
    )
    text = POWER.replace("driver: ipmi", "driver: ipmi, username: u, password_file: f")
    nodes = read(root, text).nodes
    assert nodes["n03"].power == Redfish(
        address="b3", username="admin", password_file="keys/bmc", verify=False
    )
    assert nodes["n01"].power == Ipmi(address="b1", username="u", password_file="f")
    assert nodes["head"].power == NoPower()


@pytest.mark.parametrize(
    ("power", "expected"),
    [
        ("{driver: redfsh}", "groups.yaml:2: power: 'redfsh' is none of exec, ipmi, none, redfish"),
        ("{driver: wol, bradcast: a}", "groups.yaml:2: unknown key 'bradcast' in a wol, did you"),
        ("{driver: ipmi, address: a}", "groups.yaml:2: key 'username' is missing in an ipmi"),
        ("{address: a}", "groups.yaml:2: power needs a driver (one of exec, "),
    ],
)
def test_what_is_wrong_with_power(root: Path, power: str, expected: str) -> None:
    found = problems(root, f"- {{name: service, members: ['n[01-04]'], power: {power}}}\n")
    assert len(found) == 1
    assert expected in found[0]
