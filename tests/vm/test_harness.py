# SPDX-License-Identifier: GPL-2.0-or-later
"""The lab must go red on a node that fails, whichever way; one healthy node is the control."""

import asyncio
import dataclasses
from pathlib import Path

import pytest

from swarmstrap.units import Bytes, MiB
from swarmstrap_server.installer.initramfs import newest_kernel
from swarmstrap_server.lab.files import NodeFiles, decoy_change, prepare
from swarmstrap_server.lab.guest import powered_on
from swarmstrap_server.lab.machines import VirtualNode
from swarmstrap_server.lab.probe import MODULES, tiny_boot
from swarmstrap_server.lab.speed import Speed, measure
from swarmstrap_server.lab.verdict import End, Ended, Expected
from swarmstrap_server.process import ChildFailed

NODE = VirtualNode(
    name="node",
    mac="52:54:00:77:00:01",
    uuid="00000000-0000-4000-8000-000000000077",
    disk=Bytes(16 * MiB),
    memory=Bytes(256 * MiB),
)
KERNEL = Path("/boot") / f"vmlinuz-{newest_kernel()}"
PROOF = "this is the proof"


@pytest.fixture(scope="module")
def speed() -> Speed:
    return asyncio.run(measure(KERNEL, Path("build/lab")))


@pytest.fixture
def files(tmp_path: Path) -> NodeFiles:
    return prepare(NODE, tmp_path)


async def boot(
    script: str,
    files: NodeFiles,
    speed: Speed,
    *,
    end: End = "power-off",
    seconds: float = 60.0,
    quiet: float = 60.0,
    modules: tuple[str, ...] = (),
    decoy_first: bool = True,
) -> Ended:
    """Run `script` as process 1 of a node that has both disks, and judge the run."""
    tiny = tiny_boot(KERNEL, files.folder / "tiny.cpio", script, modules=(*MODULES, *modules))
    power = files.power_on(speed.accelerator, decoy_first=decoy_first)
    expected = Expected(end, speed.deadline(seconds), speed.deadline(quiet))
    async with powered_on(
        NODE,
        dataclasses.replace(power, kernel=tiny),
        logs=files.folder,
        on_line=lambda line: None,
        on_report=PROOF.__eq__,
    ) as guest:
        return await guest.ended(expected)


async def test_green_on_a_node_that_gives_its_proof_and_powers_off(
    files: NodeFiles, speed: Speed
) -> None:
    ended = await boot(f'report "{PROOF}"; poweroff -f', files, speed)
    assert (ended.reason, ended.good) == ("exited", True), ended


async def test_green_on_a_node_that_gives_its_proof_and_resets(
    files: NodeFiles, speed: Speed
) -> None:
    ended = await boot(f'report "{PROOF}"; reboot -f', files, speed, end="reset")
    assert ended.good, ended


@pytest.mark.parametrize(
    ("script", "reason", "words"),
    [
        ("echo c > /proc/sysrq-trigger", "panicked", "sysrq triggered crash"),
        ("exit 1", "panicked", "Attempted to kill init"),
        ("poweroff -f", "powered-off-early", "powered itself off before giving its proof"),
        ("reboot -f", "powered-off-early", "reset itself before giving its proof"),
        ("report 'another proof'; poweroff -f", "powered-off-early", "before giving its proof"),
        (f"report '{PROOF}'; reboot -f", "powered-off-early", "where a power-off was expected"),
        (
            "echo '<1>BUG: unable to handle page fault' > /dev/kmsg; sleep 60",
            "failed-line",
            "BUG: unable to handle page fault",
        ),
    ],
)
async def test_red_on_a_node_that_stops_the_wrong_way(
    files: NodeFiles, speed: Speed, script: str, reason: str, words: str
) -> None:
    ended = await boot(script, files, speed)
    assert (ended.reason, ended.good) == (reason, False), ended
    assert words in ended.detail


async def test_red_on_a_node_that_falls_silent(files: NodeFiles, speed: Speed) -> None:
    ended = await boot("echo about to hang; sleep 1000", files, speed, quiet=8)
    assert (ended.reason, "said nothing" in ended.detail) == ("hung", True), ended


async def test_red_on_a_node_that_no_longer_feeds_its_watchdog(
    files: NodeFiles, speed: Speed
) -> None:
    script = """
        watchdog -F -t 1 -T 3 /dev/watchdog & dog=$!
        sleep 2; kill -STOP $dog
        while true; do echo still talking; sleep 1; done
    """
    ended = await boot(script, files, speed, modules=("i6300esb",), seconds=90)
    assert (ended.reason, "watchdog" in ended.detail) == ("hung", True), ended


async def test_red_on_a_node_that_goes_on_for_ever(files: NodeFiles, speed: Speed) -> None:
    script = "while true; do echo still busy; sleep 1; done"
    ended = await boot(script, files, speed, seconds=8)
    assert ended.reason == "deadline", ended


async def test_red_on_one_byte_written_to_the_decoy(files: NodeFiles, speed: Speed) -> None:
    script = f"""
        printf x | dd of=/dev/vda bs=1 seek=1234567 conv=notrunc 2>/dev/null
        sync; report "{PROOF}"; poweroff -f
    """
    assert decoy_change(files.decoy) is None
    ended = await boot(script, files, speed, modules=("virtio_blk",))
    assert ended.good, ended
    assert decoy_change(files.decoy) == 1234567


@pytest.mark.parametrize(("decoy_first", "serial"), [(True, "decoy"), (False, "system")])
async def test_the_order_of_the_disks_is_shuffled(
    files: NodeFiles, speed: Speed, decoy_first: bool, serial: str
) -> None:
    script = f"""
        [ "$(cat /sys/block/vda/serial)" = {NODE.name}-{serial} ] && report "{PROOF}"
        poweroff -f
    """
    ended = await boot(script, files, speed, modules=("virtio_blk",), decoy_first=decoy_first)
    assert ended.good, ended


async def test_red_when_qemu_itself_fails(files: NodeFiles, speed: Speed) -> None:
    files.system.path.unlink()
    with pytest.raises(ChildFailed, match="No such file or directory"):
        await boot("poweroff -f", files, speed)
