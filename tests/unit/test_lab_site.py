# SPDX-License-Identifier: GPL-2.0-or-later
"""A rehearsal's site replaces an earlier rehearsal's, and nothing else."""

from dataclasses import replace
from ipaddress import IPv4Interface, IPv6Interface
from pathlib import Path

import msgspec
import pytest
from tests.trees import small_system

from swarmstrap.errors import BadInput, Untrusted
from swarmstrap.units import GiB
from swarmstrap_server.control.admission import check_hooks, check_image
from swarmstrap_server.images.library import ImageStore
from swarmstrap_server.images.publish import publish
from swarmstrap_server.images.signing import Key
from swarmstrap_server.images.sources.directory import Directory
from swarmstrap_server.lab import fleet, lab_site
from swarmstrap_server.lab.lab_site import LabSite
from swarmstrap_server.lab.network import Network
from swarmstrap_server.site.floors import raise_floor
from swarmstrap_server.site.making import init
from swarmstrap_server.site.paths import SitePaths
from swarmstrap_server.site.reading import Site, read_site
from swarmstrap_server.site.signatures import sign, signables, unsigned

NETWORK = Network("none", IPv4Interface("10.77.0.1/24"), IPv6Interface("fd77::1/64"), ())
LATER = "2999-01-01T00:00:00Z"
GROUPS = """\
groups:
- {name: all, overlays: [base], variables: {ntp: one, zone: 4}, hooks: [10-note]}
- {name: rack1, overlays: [base, rack], variables: {ntp: two}}
"""
LAB = LabSite(layout="default", finish="reboot", seeder_rate="", nonce="0123")


@pytest.fixture
def real(tmp_path: Path) -> Site:
    root = tmp_path / "site"
    init(root, "real", ["192.0.2.1"], None)
    paths = SitePaths(root)
    paths.kernel.write_bytes(b"kernel")
    paths.initramfs.write_bytes(b"initramfs")
    return read_site(root)


def test_it_can_be_read_and_can_be_made_again(real: Site, tmp_path: Path) -> None:
    for _ in range(2):
        made = lab_site.make(tmp_path / "work" / "site", real, LAB, NETWORK, [])
        assert read_site(made.root).settings.address == "10.77.0.1"
        assert made.allowed_signers.read_text().count("ssh-ed25519") == 2


def test_its_server_arms_for_what_the_real_one_would(real: Site, tmp_path: Path) -> None:
    small_system(tmp_path / "source")
    store, key = ImageStore(real.paths.images), Key(real.paths.publisher)
    publish(Directory(tmp_path / "source"), "small", "1", store, key, level=1)
    made = read_site(lab_site.make(tmp_path / "work/site", real, LAB, NETWORK, []).root)
    check_hooks(made, ["n1"])
    check_image(made, ImageStore(made.paths.images).get("small"))
    raise_floor(real.paths, msgspec.structs.replace(store.get("small").manifest, created=LATER))
    made = read_site(lab_site.make(tmp_path / "work/site", real, LAB, NETWORK, []).root)
    with pytest.raises(Untrusted, match="nothing older than"):
        check_image(made, ImageStore(made.paths.images).get("small"))


def test_it_trusts_no_more_than_the_real_one(real: Site, tmp_path: Path) -> None:
    real.paths.revoked_keys.write_text("ssh-ed25519 AAAA\n")
    real.paths.floors.write_text("floors: {debian: 2026-01-01T00:00:00Z}\n")
    made = lab_site.make(tmp_path / "work" / "site", real, LAB, NETWORK, [])
    initramfs = made.initramfs.read_bytes()
    assert b"ssh-ed25519 AAAA\n" in initramfs
    assert b'"debian": "2026-01-01T00:00:00Z"' in initramfs


def test_the_real_site_is_never_replaced(real: Site) -> None:
    before = sorted(real.paths.root.rglob("*"))
    with pytest.raises(BadInput, match="exists and is no rehearsal's"):
        lab_site.make(real.paths.root, real, LAB, NETWORK, [])
    assert sorted(real.paths.root.rglob("*")) == before


def test_a_site_without_an_installer_is_told_so(real: Site, tmp_path: Path) -> None:
    real.paths.initramfs.unlink()
    with pytest.raises(BadInput, match=r"no installer in .*boot"):
        lab_site.make(tmp_path / "work" / "site", real, LAB, NETWORK, [])


def test_its_nodes_have_what_a_member_of_the_group_has(real: Site, tmp_path: Path) -> None:
    root = real.paths.root
    (root / "groups.yaml").write_text(GROUPS)
    hook = root / "hooks" / "chroot" / "10-note"
    hook.parent.mkdir(parents=True, exist_ok=True)
    hook.write_text("#!/bin/sh\n")
    hook.with_name("20-other").write_text("#!/bin/sh\n")
    for name in ("base", "rack"):
        path = root / "overlays" / name / "etc" / "motd"
        path.parent.mkdir(parents=True)
        path.symlink_to("/run/motd")
    site = read_site(root)
    sign(site, "overlay", Key(site.paths.publisher))
    nodes = fleet.parse(["bios,virtio-blk"], memory=GiB, disk=GiB, cpus=1)
    node = nodes[0].name
    for group, overlays, ntp in (("all", ["base"], "one"), ("rack1", ["base", "rack"], "two")):
        lab = replace(LAB, group=group)
        made = read_site(lab_site.make(tmp_path / "work/site", site, lab, NETWORK, nodes).root)
        laid = made.overlays_of(node)
        assert [overlay.name for overlay in laid] == overlays
        assert list(unsigned(signables(made, "overlay"), made.paths)) == []
        assert [hook.name for hook in made.hooks_of(node)] == ["10-note", lab_site.REPORT_HOOK]
        assert made.nodes[node].variables == {"ntp": ntp, "zone": 4}
        assert set(made.nodes[node].groups) == {"all", group}
    with pytest.raises(BadInput, match="no group 'rack2', did you mean 'rack1'"):
        lab_site.make(tmp_path / "work/site", site, replace(LAB, group="rack2"), NETWORK, nodes)
