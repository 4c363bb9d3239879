# SPDX-License-Identifier: GPL-2.0-or-later
"""What counts as a proof that an installed system started, and who types at a console."""

import asyncio
import json
import socket
from pathlib import Path

import pytest

from swarmstrap.units import Bytes, MiB
from swarmstrap_server.lab.files import prepare
from swarmstrap_server.lab.guest import Keyboard
from swarmstrap_server.lab.machines import VirtualDisk, VirtualNode
from swarmstrap_server.lab.trial import Trial, is_proof

NODE = VirtualNode(
    name="node",
    mac="52:54:00:77:00:01",
    uuid="00000000-0000-4000-8000-000000000077",
    disk=Bytes(MiB),
    more_disks=(VirtualDisk(name="second", bus="nvme", size=Bytes(MiB)),),
)
SAID = {
    "nonce": "0123",
    "hostname": "node",
    "disks": "node-second node-system",
    "firmware": "bios",
    "secure_boot": 0,
    "links": "",
    "initramfs": "",
    "sshd": "active",
}


def test_the_system_names_all_disks_that_its_root_lies_on(tmp_path: Path) -> None:
    kept = prepare(NODE, tmp_path)
    trial = Trial(root=("system", "second"), removed="system")
    assert is_proof(json.dumps(SAID), "0123", trial.disks(kept, ""), NODE, trial)
    assert not is_proof(json.dumps(SAID), "0123", trial.disks(kept, "system"), NODE, trial)
    degraded = json.dumps({**SAID, "disks": "node-second"})
    assert is_proof(degraded, "0123", trial.disks(kept, "system"), NODE, trial)


@pytest.mark.parametrize("key", SAID)
def test_every_word_of_a_proof_counts(key: str) -> None:
    wrong = json.dumps({**SAID, key: "other"})
    assert not is_proof(wrong, "0123", ["node-system", "node-second"], NODE, Trial())


@pytest.mark.parametrize(
    ("key", "value", "asked"),
    [
        ("links", "bond0: lan0 lan1 dhcp", Trial(links="bond0: lan0 lan1 dhcp")),
        ("initramfs", "dm_thin_pool", Trial(lacking="dm_thin_pool")),
    ],
)
def test_the_system_says_what_was_asked_of_it(key: str, value: str, asked: Trial) -> None:
    disks = ["node-system", "node-second"]
    said = json.dumps({**SAID, key: value})
    assert is_proof(said, "0123", disks, NODE, asked)
    assert not is_proof(said, "0123", disks, NODE, Trial())
    assert not is_proof(json.dumps(SAID), "0123", disks, NODE, asked)


def test_what_is_no_json_is_no_proof() -> None:
    assert not is_proof("{0123", "0123", [], NODE, Trial())


async def test_a_passphrase_is_typed_once_for_each_time_that_it_is_asked_for() -> None:
    ours, theirs = socket.socketpair()
    _, writer = await asyncio.open_connection(sock=ours)
    keyboard = Keyboard(writer, {"unlock disk": "secret"})
    for unfinished in (
        b"",
        b"Please unlo",
        b"Please unlock disk root: ",
        b"Please unlock disk r: *",
    ):
        keyboard.answer(unfinished)
    keyboard.answer(b"wrong, once more")
    keyboard.answer(b"Please unlock disk root: ")
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    assert theirs.recv(100) == b"secret\rsecret\r"
    theirs.close()
