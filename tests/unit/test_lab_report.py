# SPDX-License-Identifier: GPL-2.0-or-later
"""What a rehearsal says of nodes that failed."""

from collections import deque

from swarmstrap.units import GiB
from swarmstrap_server.lab.fleet import parse
from swarmstrap_server.lab.machines import DISK
from swarmstrap_server.lab.progress import Progress
from swarmstrap_server.lab.report import Report, last_words


def test_a_failed_node_is_quoted_and_a_deployed_one_is_not() -> None:
    good, bad = (
        Progress(node) for node in parse(["bios,sata", "uefi,nvme"], memory=GiB, disk=DISK, cpus=1)
    )
    good.stage, bad.stage = "deployed", "failed"
    good.console = bad.console = deque(["iPXE 1.21", "No bootable device"])
    bad.reason = "it said nothing for 225 s"
    report = Report(
        image="debian:1", payload_bytes=1, seconds=1.0, nodes=(good.report(), bad.report())
    )
    assert last_words(report) == (
        f"the last lines of {bad.node.name}:\n  iPXE 1.21\n  No bootable device\n"
    )
