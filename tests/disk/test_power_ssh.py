# SPDX-License-Identifier: GPL-2.0-or-later
"""Machines switched by the shell of another one: OpenSSH at both ends."""

import os
from pathlib import Path

import pytest
from tests.disk.sshd import sshd

from swarmstrap_server.power.commands import by_ssh
from swarmstrap_server.power.driver import PowerFailed
from swarmstrap_server.power.switching import Waits, start_anew, turn_off
from swarmstrap_server.power.words import Ssh

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="an SSH server that root may enter")

WAITS = Waits(off=10.0, kill=10.0, on=10.0, poll=0.1)


async def test_a_hypervisor_switches_its_guest(tmp_path: Path) -> None:
    guest = tmp_path / "a guest"
    guest.write_text("off\n")
    with sshd(tmp_path) as host:
        words = Ssh(
            host="127.0.0.1",
            port=host.port,
            key="user_key",
            known_hosts="known hosts",
            on=f"echo on >'{guest}'",
            kill=f"echo off >'{guest}'",
            state=f"cat '{guest}'",
        )
        machine = by_ssh(words, tmp_path)
        assert await machine.state() == "off"
        await start_anew(machine, WAITS)
        assert guest.read_text() == "on\n"
        await turn_off(machine, WAITS)
        assert guest.read_text() == "off\n"

        host.new_key("other_key")
        host.know("other_key")
        with pytest.raises(PowerFailed, match=r"root@127\.0\.0\.1: .*Host key verification failed"):
            await machine.do("on")
        assert guest.read_text() == "off\n"
