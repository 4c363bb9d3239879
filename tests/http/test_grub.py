# SPDX-License-Identifier: GPL-2.0-or-later
"""What lies ready for firmware that demands signatures: in step with what the server grants."""

import asyncio
import shutil
from pathlib import Path

import pytest
from tests.http.conftest import CLAIM, MAC, UUID, Live, register

from swarmstrap.errors import SwarmstrapError
from swarmstrap.wire import Event, Events
from swarmstrap_server.control.operator_wire import Arm, Disarm
from swarmstrap_server.netboot import grub
from swarmstrap_server.netboot.grub import GrubFolder
from swarmstrap_server.run import run

KNOWN = "52:54:00:00:00:02"
NEW = "52:54:00:aa:bb:cc"


@pytest.fixture
def tftp(live: Live) -> Path:
    GrubFolder(live.services.deployments).keep()
    return live.paths.boot


def installs(tftp: Path, mark: str) -> bool:
    """What GRUB is told; dnsmasq must show a node that boots its disk no program for UEFI."""
    config = tftp / "grub" / "nodes" / f"{mark}.cfg"
    if not config.exists():
        config = tftp / "grub" / "strangers.cfg"
    told = "linux /vmlinuz" in config.read_text()
    folder = tftp / mark.replace(":", "-") if ":" in mark else tftp
    shown = folder if folder.is_dir() else tftp
    assert (shown / "undionly.kpxe").is_file()
    assert (shown / "shimx64.efi").is_file() == (told or shown is tftp)
    return told


def set_up(live: Live, line: str) -> None:
    """`line` is added to site.yaml and read by the next order."""
    with live.paths.settings.open("a") as settings:
        settings.write(f"{line}\n")
    live.services.deployments.arm(Arm(nodes=("n3",), image="tiny"))


def arm(live: Live, node: str) -> None:
    live.services.deployments.arm(Arm(nodes=(node,), image="tiny"))


def test_firmware_finds_every_program(tftp: Path) -> None:
    names = {path.name for path in tftp.iterdir()}
    assert names >= {"shimx64.efi", "grubx64.efi", "snponly.efi", "vmlinuz", "initramfs.img"}
    for config in (tftp / "grub").rglob("*.cfg"):
        run(["grub-script-check", config], timeout=10)


def test_an_armed_node_installs_once(live: Live, tftp: Path) -> None:
    deployments = live.services.deployments
    deployments.register(register(MAC), "127.0.0.1")
    assert not installs(tftp, MAC)
    arm(live, "n1")
    assert installs(tftp, MAC)
    session = deployments.take_job(deployments.register(register(MAC), "127.0.0.1").token, CLAIM)
    assert installs(tftp, MAC)  # as long as a power cut leaves nothing to boot
    deployment = deployments.session(session.session)
    seeding = Event(sequence=1, time=1.0, kind="start", name="do/seed/8")
    deployments.feed.take(deployment, Events(events=(seeding,)), live.clock.now)
    assert not installs(tftp, MAC)


def test_a_permission_that_ends_ends_here_too(live: Live, tftp: Path) -> None:
    deployments = live.services.deployments
    deployments.register(register(MAC), "127.0.0.1")
    arm(live, "n1")
    deployments.disarm(["n1"])
    assert not installs(tftp, MAC)
    arm(live, "n1")
    live.clock.now += 8 * 24 * 3600
    deployments.tick()
    assert not installs(tftp, MAC)


async def test_an_operator_is_answered_when_it_is_written(live: Live, tftp: Path) -> None:
    live.services.deployments.register(register(MAC), "127.0.0.1")
    await asyncio.to_thread(live.operator.arm, Arm(nodes=("n1",), image="tiny"))
    assert installs(tftp, MAC)
    await asyncio.to_thread(live.operator.disarm, Disarm(nodes=("n1",)))
    assert not installs(tftp, MAC)


def test_a_machine_never_seen_boots_the_agent_once_to_show_itself(live: Live, tftp: Path) -> None:
    assert installs(tftp, NEW)
    live.services.deployments.register(register(NEW), "127.0.0.1")
    assert not installs(tftp, NEW)


def test_without_discovery_a_stranger_boots_its_disk(live: Live, tftp: Path) -> None:
    set_up(live, "discovery: false")
    assert not installs(tftp, NEW)
    assert not installs(tftp, MAC)
    assert installs(tftp, "52:54:00:00:00:03")


def test_a_node_without_a_mac_is_known_by_its_uuid(live: Live, tftp: Path) -> None:
    nodes = live.paths.root / "nodes" / "lab.yaml"
    nodes.write_text(nodes.read_text().replace(f"mac: {KNOWN}, ", ""))
    set_up(live, "discovery: false")
    assert not installs(tftp, UUID)
    arm(live, "n2")
    assert installs(tftp, UUID)


def test_what_is_left_of_nodes_that_are_gone_is_removed(live: Live, tftp: Path) -> None:
    live.services.deployments.register(register(MAC), "127.0.0.1")
    assert (tftp / MAC.replace(":", "-")).is_dir()
    nodes = live.paths.root / "nodes" / "lab.yaml"
    nodes.write_text(nodes.read_text().replace(MAC, NEW))
    set_up(live, "discovery: true")
    assert not (tftp / "grub" / "nodes" / f"{MAC}.cfg").exists()
    assert not (tftp / MAC.replace(":", "-")).is_symlink()


def test_the_lease_is_handed_over_where_it_is_the_site_s(live: Live, tftp: Path) -> None:
    config = tftp / "grub" / "nodes" / f"{MAC}.cfg"
    arm(live, "n1")
    assert '-n ""' in config.read_text()
    set_up(
        live,
        "dhcp: {mode: full, interface: lo, network: 127.0.0.0/8, router: 127.0.0.9,"
        " range: [127.0.0.2, 127.0.0.8], dns: [127.0.0.3, 127.0.0.4], secure_boot: true}",
    )
    assert (
        "swarmstrap.ip=$net_default_ip swarmstrap.mask=255.0.0.0 swarmstrap.gw=127.0.0.9"
        " swarmstrap.dns=127.0.0.3,127.0.0.4" in config.read_text()
    )


def test_a_program_that_is_missing_names_its_package(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grub, "_PROGRAMS", {"shimx64.efi": (Path("/nowhere"), "shim-signed")})
    with pytest.raises(SwarmstrapError, match=r"no /nowhere .*shim-signed"):
        GrubFolder(live.services.deployments).keep()


def test_a_folder_that_cannot_be_written_is_said(live: Live, tftp: Path) -> None:
    arm(live, "n1")
    live.services.deployments.register(register(MAC), "127.0.0.1")
    shutil.rmtree(tftp / "grub")
    with pytest.raises(SwarmstrapError, match=r"cannot write .*/grub/nodes/.*No such file"):
        live.services.deployments.disarm(["n1"])
