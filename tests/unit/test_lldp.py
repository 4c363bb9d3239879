# SPDX-License-Identifier: GPL-2.0-or-later
"""LLDP: packets of known switches taken apart, and heard over a cable in a namespace."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmstrap.errors import BadInput
from swarmstrap.hardware import Boot, Cpu, Inventory, Neighbour, Nic
from swarmstrap.lldp import parse, with_neighbours

ROOT = Path(__file__).parent.parent.parent


def tlv(kind: int, value: bytes) -> bytes:
    return (kind << 9 | len(value)).to_bytes(2) + value


CHASSIS = tlv(1, b"\4" + bytes.fromhex("b8599f001200"))
PORT = tlv(2, b"\5swp7")
LIVE, GONE = tlv(3, b"\0\x78"), tlv(3, b"\0\0")
END = tlv(0, b"")
REST = (
    tlv(4, b"node7")
    + tlv(5, b"leaf3.example.net")
    + tlv(8, b"\5\1\xc0\0\2\x21\2\0\0\0\1\0")
    + tlv(8, b"\x11\2" + bytes(15) + b"\1\2\0\0\0\1\0")
    + tlv(127, bytes.fromhex("00120f04") + b"\x23\xf2")
    + tlv(127, bytes.fromhex("0080c201") + b"\0\x78")
)
PACKET = CHASSIS + PORT + LIVE + REST + END
LEAF = Neighbour(
    chassis_id="b8:59:9f:00:12:00",
    port_id="swp7",
    port_description="node7",
    system_name="leaf3.example.net",
    management_address="192.0.2.33",
    vlan=120,
)


def test_a_switch() -> None:
    assert parse(PACKET + bytes(20)) == LEAF
    assert str(LEAF) == "leaf3.example.net port swp7, VLAN 120"


def test_the_least_that_is_said() -> None:
    heard = parse(CHASSIS + PORT + LIVE + END)
    assert heard == Neighbour(chassis_id="b8:59:9f:00:12:00", port_id="swp7")
    assert str(heard) == "b8:59:9f:00:12:00 port swp7"


@pytest.mark.parametrize(
    ("chassis", "port", "says"),
    [
        (b"\5\1\xc0\0\2\1", b"\3\x52\x54\0\0\0\7", ("192.0.2.1", "52:54:00:00:00:07")),
        (b"\5\2" + bytes(15) + b"\1", b"\4\1\xc0\0\2\2", ("::1", "192.0.2.2")),
        (b"\7Serial 1\0", b"\7\x1b[2Jgi1/0/7 ", ("Serial 1", "?[2Jgi1/0/7")),
        (b"\4short", b"\5", ("short", "")),
    ],
)
def test_forms_of_ids(chassis: bytes, port: bytes, says: tuple[str, str]) -> None:
    heard = parse(tlv(1, chassis) + tlv(2, port) + LIVE + END)
    assert heard is not None
    assert (heard.chassis_id, heard.port_id) == says


def test_a_port_that_says_goodbye_is_no_neighbour() -> None:
    assert parse(CHASSIS + PORT + GONE + END) is None


@pytest.mark.parametrize(
    "packet", [b"", PACKET[:-3], PORT + CHASSIS + LIVE + END, CHASSIS + PORT + END, bytes(46)]
)
def test_what_is_not_lldp(packet: bytes) -> None:
    with pytest.raises(BadInput, match="an LLDP packet"):
        parse(packet)


@given(at=st.integers(0, len(PACKET) - 1), byte=st.integers(0, 255), noise=st.binary())
def test_noise_is_refused_or_printable(at: int, byte: int, noise: bytes) -> None:
    for packet in (PACKET[:at] + bytes([byte]) + PACKET[at + 1 :], noise, CHASSIS + noise):
        try:
            heard = parse(packet)
        except BadInput:
            continue
        assert heard is None or (heard.chassis_id + heard.port_id + str(heard)).isprintable()


def test_each_nic_keeps_what_it_heard() -> None:
    nics = tuple(Nic(name=name, mac_address="", lldp=None) for name in ("eth0", "eth1"))
    boot, cpu = Boot(current_boot_mode="bios"), Cpu(architecture="x86_64")
    seen = Inventory(boot=boot, cpu=cpu, interfaces=nics)
    once = with_neighbours(seen, {"eth1": LEAF, "eth9": LEAF})
    assert [nic.lldp for nic in with_neighbours(once, {}).interfaces] == [None, LEAF]
    assert msgspec.json.decode(msgspec.json.encode(once), type=Inventory) == once


@pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")
def test_over_a_cable() -> None:
    guest = Path(__file__).parent / "lldp_guest.py"
    ran = subprocess.run(
        ["unshare", "--net", sys.executable, guest, PACKET.hex()],
        env={**os.environ, "PYTHONPATH": str(ROOT / "agent")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines() == ["{}", f"{{'node0': {LEAF!r}}}", f"{{'node0': {LEAF!r}}}"]
