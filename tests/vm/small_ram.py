# SPDX-License-Identifier: GPL-2.0-or-later
"""A node of 1 GiB deploys an image of 3 GiB (compressed). Too long for `make test`, where
test_nasty_tree.py does the same with less.

    python -m tests.vm.small_ram
"""

import argparse
import os
import secrets
import sys
from pathlib import Path

from rich.console import Console
from tests.vm.systems import BUILD, demo_system, published, rehearsed

from swarmstrap.units import Bytes, GiB, MiB
from swarmstrap_server.lab import report
from swarmstrap_server.lab.machines import SERIAL_LOG, VirtualNode

NODE = VirtualNode(
    name="one-gib",
    mac="52:54:00:77:00:01",
    uuid="00000000-0000-4000-8000-000000000001",
    disk=Bytes(16 * GiB),
    memory=Bytes(GiB),
    cpus=2,
)
FILE = Bytes(256 * MiB)


def main() -> int:
    parser = argparse.ArgumentParser(prog="small_ram", description=__doc__.splitlines()[0])
    parser.add_argument("--gib", type=float, default=3.0, help="of data that do not compress")
    wanted = int(parser.parse_args().gib * GiB)
    work = BUILD / "vm" / "small-ram"
    system = work / "system"
    demo_system(system)
    for number in range(-(-wanted // FILE)):
        fill(system / f"srv/noise{number}", min(FILE, wanted - number * FILE))
    with published(system, "small-ram") as image:
        result = rehearsed(image, NODE, work / "rehearsal", secrets.token_hex(16))
    Console().print(report.table(result))
    serial = work / "rehearsal" / NODE.name / SERIAL_LOG
    lines = serial.read_text(errors="replace").splitlines()
    places = [place for place, line in enumerate(lines) if "from the swarm into" in line]
    print("\n".join(line for place in places for line in lines[place : place + 2]))
    return 0 if result.passed() else 1


def fill(path: Path, size: int) -> None:
    with path.open("wb") as file:
        while size:
            size -= file.write(os.urandom(min(size, MiB)))


if __name__ == "__main__":
    sys.exit(main())
