# SPDX-License-Identifier: GPL-2.0-or-later
"""The node's network in a namespace of its own: a handed over lease, DHCP, and nothing."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
SERVER = "swarmstrap.server=https://192.0.2.1:8443"
BOOTIF = "BOOTIF=01-52-54-00-00-00-07"

pytestmark = [
    pytest.mark.skipif(os.getuid() != 0, reason="network namespaces need root"),
    pytest.mark.skipif(
        not all(map(shutil.which, ("dnsmasq", "dhclient", "nsenter"))),
        reason="dnsmasq, dhclient or nsenter is missing",
    ),
]


def configure(cmdline: str, scratch: Path) -> list[str]:
    script = scratch / "dhclient-script"
    shutil.copy(ROOT / "dracut" / "50swarmstrap" / "dhclient-script.sh", script)
    script.chmod(0o755)
    guest = Path(__file__).parent / "network_guest.py"
    ran = subprocess.run(
        ["unshare", "--net", "--mount", sys.executable, guest, cmdline, scratch, script],
        env={**os.environ, "PYTHONPATH": str(ROOT / "agent")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()


def test_the_lease_that_the_boot_loader_hands_over(tmp_path: Path) -> None:
    lease = (
        "swarmstrap.ip=192.0.2.7 swarmstrap.mask=255.255.255.0 swarmstrap.gw=192.0.2.1 "
        "swarmstrap.dns=192.0.2.1"
    )
    told = configure(f"{SERVER} {BOOTIF} {lease}", tmp_path)
    assert told[:3] == ["waiting for a link on node0", "node0 has 192.0.2.7/24", "192.0.2.7"]
    assert told[3].startswith("default via 192.0.2.1 dev node0")
    assert " nameserver 192.0.2.1" in told


def test_a_lease_by_dhcp(tmp_path: Path) -> None:
    told = configure(f"{SERVER} {BOOTIF}", tmp_path)
    assert told[1] == "asking for a lease on node0 (DHCP)"
    address = told[3]
    assert address.startswith("192.0.2.5") or address == "192.0.2.60"
    assert told[2] == f"node0 has {address}/24"
    assert told[4].startswith("default via 192.0.2.1 dev node0")
    assert " nameserver 192.0.2.53" in told


def test_a_boot_nic_that_never_comes(tmp_path: Path) -> None:
    [told] = configure(f"{SERVER} BOOTIF=01-52-54-00-00-00-99", tmp_path)
    assert told.startswith("Unreachable: waited 2 s for the NIC 52:54:00:00:00:99")
    assert told.endswith("(check the cable, the switch, the driver)")
