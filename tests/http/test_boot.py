# SPDX-License-Identifier: GPL-2.0-or-later
"""What firmware asks the boot listener: scripts by node, kernel and initramfs by ranges."""

import pytest
from tests.http.conftest import CLAIM, INITRAMFS, MAC, UUID, Live, inventory, register

from swarmstrap.wire import Event, Events
from swarmstrap_server.control.operator_wire import Arm

KNOWN = "52:54:00:00:00:02"


async def script(live: Live, mac: str, uuid: str = "", platform: str = "efi") -> str:
    query = {"mac": mac, "uuid": uuid, "platform": platform}
    async with live.http.get(f"{live.boot}/boot/ipxe", params=query) as response:
        assert response.status == 200
        return await response.text()


def installs(text: str) -> bool:
    return text.startswith("#!ipxe\n") and "\nkernel --timeout 60000 http://" in text


def arm(live: Live, node: str) -> None:
    live.services.deployments.arm(Arm(nodes=(node,), image="tiny"))


def show_hardware(live: Live, mac: str, uuid: str = "") -> None:
    live.services.deployments.register(register(mac, uuid), "127.0.0.1")


async def test_an_armed_node_gets_the_installer_and_its_server(live: Live) -> None:
    show_hardware(live, MAC)
    arm(live, "n1")
    text = await script(live, MAC)
    assert installs(text)
    assert f"swarmstrap.server={live.node} " in text
    assert f"kernel --timeout 60000 {live.boot}/boot/vmlinuz initrd=initrd.img" in text
    assert "@" not in text


async def test_nothing_on_the_installers_command_line_is_secret(live: Live) -> None:
    show_hardware(live, MAC)
    arm(live, "n1")
    token = live.services.deployments.register(register(), "127.0.0.1").token
    assert token
    assert token not in await script(live, MAC)


async def test_a_node_that_is_not_armed_boots_its_disk(live: Live) -> None:
    show_hardware(live, MAC)
    text = await script(live, MAC)
    assert not installs(text)
    assert "n1 is not armed" in text


async def test_a_node_boots_its_disk_as_soon_as_that_is_complete(live: Live) -> None:
    arm(live, "n1")
    deployments = live.services.deployments
    job = deployments.take_job(deployments.register(register(), "127.0.0.1").token, CLAIM)
    for number, phase, installing in ((1, "settle", True), (2, "seed", False)):
        event = Event(sequence=number, time=1.0, kind="start", name=f"do/{phase}/{number}")
        deployment = deployments.session(job.session)
        deployments.feed.take(deployment, Events(events=(event,)), live.clock.now)
        assert installs(await script(live, MAC)) is installing


async def test_the_uuid_must_agree_with_the_mac(live: Live) -> None:
    show_hardware(live, KNOWN, UUID)
    arm(live, "n2")
    assert installs(await script(live, KNOWN, UUID))
    show_hardware(live, KNOWN, "00000000-1111-2222-3333-444444444444")
    assert not installs(await script(live, KNOWN, "00000000-1111-2222-3333-444444444444"))


async def test_a_machine_never_seen_boots_the_agent_once_to_show_itself(live: Live) -> None:
    mac = "52:54:00:aa:bb:cc"
    assert installs(await script(live, mac))
    show_hardware(live, mac)
    assert not installs(await script(live, mac))


async def test_without_discovery_a_stranger_boots_its_disk(live: Live) -> None:
    with live.paths.settings.open("a") as settings:
        settings.write("discovery: false\n")
    live.services.deployments.roster.reload()
    assert not installs(await script(live, "52:54:00:aa:bb:cc"))


@pytest.mark.parametrize(
    "mac",
    ["", "nonsense", "52:54:00:12:34", "52:54:00:12:34:5g", "${reboot}", "a\nreboot", MAC * 2],
)
async def test_what_is_no_mac_boots_its_disk_and_is_not_pasted(live: Live, mac: str) -> None:
    text = await script(live, mac)
    assert not installs(text)
    assert "this machine is not armed" in text


async def test_macs_in_any_spelling(live: Live) -> None:
    arm(live, "n1")
    assert installs(await script(live, MAC.upper().replace(":", "-")))


async def test_the_entry_script_asks_by_mac_and_uuid(live: Live) -> None:
    async with live.http.get(f"{live.boot}/boot/entry.ipxe") as response:
        text = await response.text()
    assert f"{live.boot}/boot/ipxe?mac=${{netX/mac}}&uuid=${{uuid}}" in text


async def test_ranges_of_the_initramfs(live: Live) -> None:
    url = f"{live.boot}/boot/initramfs.img"
    async with live.http.get(url, headers={"Range": "bytes=1000-1099"}) as response:
        assert response.status == 206
        assert response.headers["Content-Range"] == f"bytes 1000-1099/{len(INITRAMFS)}"
        assert await response.read() == INITRAMFS[1000:1100]
    async with live.http.get(url) as response:
        assert (response.status, await response.read()) == (200, INITRAMFS)
    async with live.http.head(url) as response:
        assert response.headers["Content-Length"] == str(len(INITRAMFS))


async def test_the_web_seed_has_the_images_and_nothing_else(live: Live) -> None:
    (infohash,) = live.services.published
    base = f"{live.boot}/images/{infohash}/tiny-1"
    payload = (live.paths.images / "tiny" / "1" / "root.tar.zst").read_bytes()
    async with live.http.get(f"{base}/root.tar.zst", headers={"Range": "bytes=5-9"}) as response:
        assert await response.read() == payload[5:10]
    for path in (
        f"{base}/image.torrent",
        f"{base}/..%2f..%2f..%2fkeys%2fca.key",
        f"{live.boot}/images/{'0' * 64}/tiny-1/root.tar.zst",
    ):
        async with live.http.get(path) as response:
            assert response.status == 404


async def test_machines_without_a_uuid_of_their_own_are_told_apart(live: Live) -> None:
    blank = "00000000-0000-0000-0000-000000000000"
    for mac in ("52:54:00:aa:00:01", "52:54:00:aa:00:02"):
        show_hardware(live, mac, blank)
    names = [node.name for node in live.services.deployments.store.nodes()]
    assert names == ["node-525400aa0001", "node-525400aa0002"]
    assert inventory().system_vendor.uuid == ""
