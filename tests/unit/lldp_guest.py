# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs in a network namespace of its own: a cable with a switch at its far end.

Argument: an LLDP packet, as hex. Prints what was heard before the link is up, after the switch
spoke, and while it speaks.
"""

import contextlib
import socket
import subprocess
import sys
import threading

from swarmstrap.effects.hardware.lldp import Listener
from swarmstrap.lldp import ETHERTYPE, GROUP


def sh(command: str) -> None:
    subprocess.run(command, shell=True, check=True, timeout=30)


def main(packet: bytes) -> None:
    sh("ip link add node0 type veth peer name far0")
    with contextlib.closing(Listener()) as listener:
        print(dict(listener.heard()))
        # Also when the NIC comes up later, as it does on a node.
        sh("ip link set node0 up; ip link set far0 up")
        far = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        far.bind(("far0", 0))
        frame = GROUP + bytes.fromhex("b8599f001207") + ETHERTYPE.to_bytes(2) + packet
        far.send(frame[:20])
        far.send(frame)
        print(dict(listener.heard(patience=0.5)))
        later = threading.Timer(0.5, far.send, [frame])
        later.start()
        print(dict(listener.heard(patience=2.0)))
        later.join()


main(bytes.fromhex(sys.argv[1]))
