# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs inside namespaces of its own: a cable with a DHCP server at its far end, and the agent.

Arguments: the kernel command line, a scratch folder, the dhclient script. Prints what was told,
then the address, the routes and resolv.conf; or the error.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

from swarmstrap.cmdline import parse
from swarmstrap.effects import network
from swarmstrap.errors import SwarmstrapError

MAC = "52:54:00:00:00:07"


def sh(command: str) -> str:
    return subprocess.run(
        command, shell=True, check=True, capture_output=True, text=True, timeout=30
    ).stdout


def wait_for_namespace(pid: int) -> None:
    deadline = time.monotonic() + 10
    while os.readlink(f"/proc/{pid}/ns/net") == os.readlink("/proc/self/ns/net"):
        assert time.monotonic() < deadline, "unshare made no network namespace in 10 s"
        time.sleep(0.01)


def main(cmdline: str, scratch: Path, script: Path) -> None:
    sh("mount --make-rprivate /; mount -t sysfs sysfs /sys")
    sh("ip link set lo up")
    (scratch / "resolv.conf").touch()
    sh(f"mount --bind {scratch}/resolv.conf /etc/resolv.conf")
    sh(f"ip link add node0 address {MAC} type veth peer name far0")
    server = subprocess.Popen(["unshare", "--net", "sleep", "60"])
    try:
        wait_for_namespace(server.pid)
        far = f"nsenter --net=/proc/{server.pid}/ns/net"
        sh(f"ip link set far0 netns {server.pid}")
        sh(f"{far} ip link set far0 up; {far} ip address add 192.0.2.1/24 dev far0")
        sh(
            f"{far} dnsmasq --conf-file=/dev/null --interface=far0 --bind-interfaces --port=0"
            f" --dhcp-range=192.0.2.50,192.0.2.60 --dhcp-option=6,192.0.2.53 --no-ping"
            f" --dhcp-authoritative --pid-file={scratch}/dnsmasq.pid"
            f" --dhcp-leasefile={scratch}/leases"
        )
        network._SCRIPT = script
        network._STATE = scratch / "dhcp"
        network._NIC_SECONDS = 2.0
        try:
            print(network.configure(parse(cmdline), print))
            print(sh("ip -4 route"), Path("/etc/resolv.conf").read_text())
        except SwarmstrapError as error:
            print(f"{type(error).__name__}: {error}")
        for pid in scratch.glob("**/*pid"):
            sh(f"kill {pid.read_text()}")
    finally:
        server.kill()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
