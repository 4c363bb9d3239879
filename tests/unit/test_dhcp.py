# SPDX-License-Identifier: GPL-2.0-or-later
"""What dnsmasq is told, in its own judgement, and what is never written into a boot file."""

import asyncio
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from pathlib import Path

import pytest

from swarmstrap.errors import BadInput
from swarmstrap_server.netboot import dnsmasq
from swarmstrap_server.netboot.dhcp import DhcpSettings, Flavour, lines_for, render
from swarmstrap_server.netboot.templates import fill, template
from swarmstrap_server.process import ChildFailed
from swarmstrap_server.run import run

SERVER = IPv4Address("192.0.2.1")
NETWORK = IPv4Network("192.0.2.0/24")
POOL = IPv4Address("192.0.2.50"), IPv4Address("192.0.2.99")
FULL = DhcpSettings(
    mode="full", interface="eth1", server=SERVER, boot_port=8080, network=NETWORK, pool=POOL
)
PROXY = DhcpSettings(mode="proxy", interface="eth1", server=SERVER, boot_port=8080, network=NETWORK)
LAB = DhcpSettings(
    mode="full",
    interface="br0",
    server=SERVER,
    boot_port=80,
    network=NETWORK,
    pool=POOL,
    router=SERVER,
    dns=(SERVER, IPv4Address("192.0.2.2")),
    ipv6_prefix=IPv6Network("fd77::/64"),
)


TFTP = replace(PROXY, mode="tftp")
SIGNED = [replace(settings, secure_boot=True) for settings in (FULL, LAB, TFTP)]


@pytest.mark.parametrize("settings", [FULL, PROXY, LAB, TFTP, *SIGNED])
def test_dnsmasq_accepts_what_is_rendered(tmp_path: Path, settings: DhcpSettings) -> None:
    config = tmp_path / "dnsmasq.conf"
    config.write_text(render(settings, tmp_path))
    run(["dnsmasq", "--test", f"--conf-file={config}"], timeout=10)


def test_full_leases_the_pool_and_names_no_router_unasked() -> None:
    lines = render(FULL, Path("/state")).splitlines()
    assert "dhcp-range=192.0.2.50,192.0.2.99,255.255.255.0,1h" in lines
    assert "dhcp-option=option:router" in lines
    assert "dhcp-boot=tag:ipxe,http://192.0.2.1:8080/boot/entry.ipxe" in lines


def test_router_and_name_servers_are_handed_out_when_given() -> None:
    lines = render(LAB, Path("/state")).splitlines()
    assert "dhcp-option=option:router,192.0.2.1" in lines
    assert "dhcp-option=option:dns-server,192.0.2.1,192.0.2.2" in lines
    assert "dhcp-range=fd77::,ra-only,64,1h" in lines


def test_proxy_leases_nothing() -> None:
    ranges = [line for line in render(PROXY, Path("/s")).splitlines() if "dhcp-range" in line]
    assert ranges == ["dhcp-range=192.0.2.0,proxy,255.255.255.0"]


@pytest.mark.parametrize(
    "change",
    [
        {"interface": "eth0\nuser=root"},
        {"interface": ""},
        {"pool": None},
        {"pool": (POOL[1], POOL[0])},
        {"pool": (POOL[0], IPv4Address("198.51.100.1"))},
        {"server": IPv4Address("198.51.100.1")},
        {"mode": "proxy"},
        {"mode": "proxy", "pool": None, "secure_boot": True},
    ],
)
def test_settings_that_do_not_belong_together_are_refused(change: dict[str, object]) -> None:
    given: dict[str, object] = {
        "mode": "full",
        "interface": "eth1",
        "server": SERVER,
        "boot_port": 8080,
        "network": NETWORK,
        "pool": POOL,
    }
    with pytest.raises(BadInput, match=r"^dhcp: "):
        DhcpSettings(**{**given, **change})  # type: ignore[arg-type]


@pytest.mark.parametrize("settings", SIGNED[:2])
def test_uefi_firmware_gets_the_signed_program_from_the_site(settings: DhcpSettings) -> None:
    text = render(settings, Path("/state"), Path("/site/boot"))
    assert "tftp-root=/site/boot\n" in text
    assert "shimx64.efi" in text
    assert "undionly.kpxe" in text
    assert "snponly.efi" not in text


def test_tftp_alone_serves_the_folder_and_answers_no_dhcp() -> None:
    lines = render(SIGNED[2], Path("/state"), Path("/site/boot")).splitlines()
    assert "enable-tftp" in lines
    assert "tftp-root=/site/boot" in lines
    assert not [line for line in lines if line.startswith(("dhcp-range", "dhcp-boot"))]


@pytest.mark.parametrize("secure_boot", [False, True])
@pytest.mark.parametrize("flavour", ["dnsmasq", "isc", "kea"])
def test_lines_for_another_dhcp_server_name_script_and_boot_files(
    flavour: Flavour, secure_boot: bool
) -> None:
    text = lines_for(flavour, SERVER, 8080, secure_boot=secure_boot)
    for word in (
        "http://192.0.2.1:8080/boot/entry.ipxe",
        "undionly.kpxe",
        "shimx64.efi" if secure_boot else "snponly.efi",
        "192.0.2.1",
    ):
        assert word in text
    assert "@" not in text


@pytest.mark.parametrize("secure_boot", [False, True])
def test_our_lines_for_dnsmasq_are_lines_for_dnsmasq(tmp_path: Path, secure_boot: bool) -> None:
    config = tmp_path / "dnsmasq.conf"
    config.write_text(lines_for("dnsmasq", SERVER, 8080, secure_boot=secure_boot))
    run(["dnsmasq", "--test", f"--conf-file={config}"], timeout=10)


async def test_a_dnsmasq_that_does_not_stay_up_is_given_up_with_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dnsmasq, "_RESTARTS", 1)
    (tmp_path / "dnsmasq.leases").mkdir()
    async with asyncio.timeout(30):
        with pytest.raises(ChildFailed, match=r"does not stay up \(status \d\): .*lease file"):
            await dnsmasq.serve(FULL, tmp_path)


@pytest.mark.parametrize("value", ["a\nb", "a`b", "a;b", "${net0/mac}", 'a"b', "a#b", "a||b"])
def test_a_value_that_could_say_more_than_itself_is_refused(value: str) -> None:
    with pytest.raises(BadInput, match="NODE"):
        fill("echo @NODE@", {"NODE": value})


def test_every_place_needs_a_value() -> None:
    with pytest.raises(KeyError):
        fill(template("local.ipxe.in"), {})
