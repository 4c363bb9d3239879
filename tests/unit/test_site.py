# SPDX-License-Identifier: GPL-2.0-or-later
"""A whole site folder: what `swarmstrap check` finds in it, and the commands around it."""

import json
import stat
from pathlib import Path

import pytest

from swarmstrap.errors import BadInput
from swarmstrap_server import cli
from swarmstrap_server.site import making as newsite
from swarmstrap_server.site import pki
from swarmstrap_server.site.paths import SitePaths
from swarmstrap_server.site.reading import examine_site, read_site

LAYOUT = """\
disks:
- id: system
  partitions:
  - {label: root, type: root, size_min: 1GiB, format: ext4, mount: /}
"""

HOOK = "secret_file: keys/hook, url: https://chat.example/"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    newsite.init(tmp_path / "site", "test", ["192.0.2.1"], None)
    return tmp_path / "site"


def swarmstrap(root: Path, *arguments: str) -> int:
    return cli.main(["--site", str(root), *arguments])


def problems(root: Path) -> list[str]:
    return [str(problem) for problem in examine_site(root)[1]]


def nodes(root: Path, text: str, file: str = "nodes/lab.yaml") -> None:
    (root / file).write_text(f"nodes:\n{text}")


def test_a_new_site_has_nothing_wrong(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert swarmstrap(root, "check") == 0
    assert "nothing wrong" in capsys.readouterr().out


def test_private_things_are_private(root: Path) -> None:
    paths = SitePaths(root)
    for key in (paths.ca_key, paths.server_key, paths.publisher):
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
    for folder in (paths.keys, paths.run, paths.database.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_init_again_makes_what_is_missing_and_keeps_the_rest(root: Path) -> None:
    paths = SitePaths(root)
    before = {path: path.read_bytes() for path in paths.keys.iterdir()}
    assert newsite.init(root, "test", ["192.0.2.1"], None) == []
    paths.server_certificate.unlink()
    made = newsite.init(root, "test", ["192.0.2.1", "server.example"], None)
    assert made == ["keys/server.crt for 192.0.2.1, server.example"]
    assert paths.ca_key.read_bytes() == before[paths.ca_key]
    assert pki.covers(paths.server_certificate.read_bytes(), "server.example")


def test_a_publisher_who_signs_elsewhere(tmp_path: Path) -> None:
    newsite.init(tmp_path / "one", "one", ["192.0.2.1"], None)
    public = SitePaths(tmp_path / "one").publisher.with_name("publisher.pub")
    newsite.init(tmp_path / "two", "two", ["192.0.2.1"], public)
    two = SitePaths(tmp_path / "two")
    assert not two.publisher.exists()
    assert public.read_text().split()[1] in two.allowed_signers.read_text()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- {name: N1, mac: 52:54:00:00:00:01}\n", "2: 'N1' is not a node's name"),
        ("- name: n1\n  mac: 52:54:00:00:01\n", "3: '52:54:00:00:01' is not a MAC address"),
        ("- name: n1\n", "2: node n1 needs mac, uuid or serial, to be known by"),
        ("- name: n1\n  mac: 52:54:00:00:00:01\n  rack: a b\n", "4: 'a b' is not a rack's name"),
        ("- name: n1\n  uuid: abc\n", "3: 'abc' is not a UUID"),
        ("- {name: n1, mac: 52:54:00:00:00:01, layuot: a}\n", "did you mean 'layout'?"),
        (
            "- name: n1\n  mac: 52:54:00:00:00:01\n  layout: defaul\n",
            "4: no layout 'defaul', did you mean 'default'?",
        ),
        ("- name: n1\n  mac: 52:54:00:00:00:01\n  hooks: [10-x]\n", "4: no hook '10-x'"),
        (
            "- name: n1\n  mac: 52:54:00:00:00:01\n  kernel_arguments: a;reboot\n",
            "4: 'a;reboot' has characters that do not belong on a kernel command line",
        ),
        (
            '- name: n1\n  mac: 52:54:00:00:00:01\n  kernel_arguments: "a\\nb"\n',
            "do not belong on a kernel command line",
        ),
        ("- name: n1\n  mac: 52:54:00:00:00:01\n  hostname: a_b\n", "4: 'a_b' is not a host name"),
        (
            "- name: n1\n  mac: 52:54:00:00:00:01\n  network:\n"
            "  - {mac: 52:54:00:00:00:01, dhcp: false, addresses: [192.0.2.7]}\n",
            "5: '192.0.2.7' lacks the prefix length, as in 192.0.2.7/24",
        ),
        (
            "- name: n1\n  mac: 52:54:00:00:00:01\n  network:\n"
            "  - {mac: 52:54:00:00:00:01, dhcp: false}\n",
            "5: dhcp: false needs addresses",
        ),
        (
            "- {name: n1, mac: 52:54:00:00:00:01}\n- {name: n1, mac: 52:54:00:00:00:02}\n",
            "3: name n1 is also that of node n1 (nodes/lab.yaml:2)",
        ),
        (
            "- {name: n1, mac: 52:54:00:00:00:0a}\n- {name: n2, mac: 52:54:00:00:00:0A}\n",
            "3: MAC 52:54:00:00:00:0a is also that of node n1 (nodes/lab.yaml:2)",
        ),
    ],
)
def test_what_is_wrong_with_a_node(root: Path, text: str, expected: str) -> None:
    nodes(root, text)
    (problem,) = problems(root)
    assert problem.startswith("nodes/lab.yaml:")
    assert expected in problem


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("ports: {boot: 80, node: 80}", "3: boot, node, operator, seeder and deal need five"),
        ("swarm: {seeder_rate: fast}", "3: not a size: 'fast'"),
        ("swarm: {rack: ../a}", "3: '../a' is not a rack's name"),
        (f"webhooks: [{{{HOOK}, name: A}}]", "3: 'A' is not a webhook's name"),
        (f"webhooks: [{{{HOOK}}}, {{{HOOK}b}}]", "3: another webhook is called chat.example"),
        (f"webhooks: [{{{HOOK}}}, {{{HOOK}, name: b}}]", "or has this URL"),
        ("swarm: {seeders: [{address: s2}]}", "3: 's2' is not an IPv4 address"),
        ("swarm: {seeders: [{address: 192.0.2.1}]}", "192.0.2.1 port 6881 is a seeder already"),
        ("installer_arguments: a|b", "3: 'a|b' has characters that do not belong"),
        ("defaults: {layout: nope}", "3: no layout 'nope'"),
        ("defaults: {skip_block_devices: [{}]}", "3: an empty entry would skip every disk"),
        ("defaults: {skip_block_devices: [{modle: x}]}", "unknown key in match: modle (did you "),
        ("dhcp: {mode: full, interface: eth1, network: 192.0.2.0/24}", "needs a range"),
        ("dhcp: {mode: proxy, interface: 'a b', network: 192.0.2.0/24}", "is not a network inter"),
        ("dhcp: {mode: proxy, interface: eth1, network: 198.51.100.0/24}", "192.0.2.1 is not in"),
        ("dhcp: {mode: full, interface: eth1, network: x, range: [a, b]}", "3: dhcp: "),
    ],
)
def test_what_is_wrong_with_the_settings(root: Path, line: str, expected: str) -> None:
    (root / "site.yaml").write_text(f"name: test\naddress: 192.0.2.1\n{line}\n")
    (problem,) = problems(root)
    assert problem.startswith("site.yaml:3: ")
    assert expected in f"{problem}"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("size_min: 1GiB", "size_min: 1 GiBi", "4: disk system: partition root: not a size"),
        ("mount: /}", "mount: /a}", "1: nothing is mounted at /"),
        ("- id: system", "- id: system\n  match: {sizee: 1}", "2: disk system: "),
        ("disks:", "kernel_arguments: a'b\ndisks:", '1: kernel_arguments: "a\'b" has characters'),
    ],
)
def test_what_is_wrong_with_a_layout(root: Path, old: str, new: str, expected: str) -> None:
    (root / "layouts" / "default.yaml").write_text(LAYOUT.replace(old, new))
    (problem,) = problems(root)
    assert expected in problem


def test_check_tells_everything_at_once_and_exits_1(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nodes(root, "- {name: n1, mac: x}\n")
    nodes(root, "- name: n2\n", "nodes.yaml")
    (root / "layouts" / "odd.yaml").write_text("disk: []\n")
    (root / "hooks" / "chroot" / "10-a").write_text("#!/bin/sh\n")
    (root / "hooks" / "initramfs" / "noname").write_text("#!/bin/sh\n")
    SitePaths(root).server_key.unlink()
    assert swarmstrap(root, "check", "--json") == 1
    found = json.loads(capsys.readouterr().out)["problems"]
    files = [line.split(":")[0] for line in found]
    assert files == [
        "layouts/odd.yaml",
        "hooks/initramfs/noname",
        "nodes.yaml",
        "nodes/lab.yaml",
        "keys/server.key",
        "hooks/chroot/10-a",
    ]


def test_check_looks_at_files_of_passwords(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (root / "site.yaml").open("a") as settings:
        settings.write("webhooks:\n- url: https://192.0.2.9/\n  secret_file: keys/hook\n")
    power = "{driver: redfish, address: 'https://192.0.2.8', username: a, password_file: keys/bmc}"
    (root / "groups.yaml").write_text(f"groups:\n- name: all\n  power: {power}\n")
    nodes(root, "- {name: n1, mac: 52:54:00:00:00:01}\n- {name: n2, mac: 52:54:00:00:00:02}\n")
    (root / "keys" / "bmc").write_text("secret")
    (root / "keys" / "bmc").chmod(0o640)
    assert swarmstrap(root, "check") == 1
    line = (root / "site.yaml").read_text().count("\n")
    assert capsys.readouterr().err.splitlines() == [
        f"site.yaml:{line}: keys/hook cannot be read: No such file or directory",
        "groups.yaml:3: keys/bmc has mode 640, so others may read it (chmod 600 keys/bmc)",
    ]
    (root / "keys" / "bmc").chmod(0o600)
    (root / "keys" / "hook").write_text("secret")
    (root / "keys" / "hook").chmod(0o600)
    assert swarmstrap(root, "check") == 0


def test_one_wrong_file_is_one_line_for_every_other_command(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nodes(root, "- {name: n1, mac: x}\n- name: n2\n")
    assert swarmstrap(root, "node", "ls") == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith("swarmstrap: nodes/lab.yaml:2: 'x' is not a MAC address (and 1 more")


def test_hooks_run_by_name_and_are_signed_as_they_are(root: Path) -> None:
    for place, name in (("chroot", "20-b"), ("initramfs", "10-z"), ("chroot", "30-a")):
        (root / "hooks" / place / name).write_text(name)
    nodes(root, "- {name: n1, mac: 52:54:00:00:00:01, hooks: [30-a, 10-z]}\n")
    assert swarmstrap(root, "hook", "sign") == 0
    site = read_site(root)
    assert [hook.name for hook in site.hooks_of("n2")] == ["10-z", "20-b", "30-a"]
    assert [hook.name for hook in site.hooks_of("n1")] == ["10-z", "30-a"]
    assert all(hook.signature for hook in site.hooks)
    (root / "hooks" / "chroot" / "20-b").write_text("changed")
    assert swarmstrap(root, "check") == 1


def test_a_folder_that_is_no_site(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is not a site folder"):
        read_site(tmp_path)
