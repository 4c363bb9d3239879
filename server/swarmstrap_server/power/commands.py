# SPDX-License-Identifier: GPL-2.0-or-later
"""Switching by commands: programs on the server, a shell on another machine, ipmitool."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

from swarmstrap.command import CommandFailed
from swarmstrap_server import secretfile
from swarmstrap_server.power.driver import Deed, PowerFailed, in_thread
from swarmstrap_server.power.orders import PowerState
from swarmstrap_server.power.words import Exec, Ipmi, Ssh
from swarmstrap_server.run import run

_SECONDS = 25.0
# ipmitool asks `-R` times and waits `-N` seconds for each answer.
_IPMI_PATIENCE = ("-N", "3", "-R", "4")


class Commands:
    """`argv` has a command for each deed that can be done; that of "state" says on or off as its
    last word.
    """

    def __init__(self, bmc: str, argv: Mapping[Deed, tuple[str, ...]], state: tuple[str, ...]):
        self._argv = {deed: command for deed, command in argv.items() if command}
        self._state = state
        self.bmc = bmc

    @property
    def can(self) -> frozenset[Deed]:
        return frozenset(self._argv)

    @property
    def knows_state(self) -> bool:
        return bool(self._state)

    async def do(self, deed: Deed) -> None:
        await self._run(self._argv[deed])

    async def state(self) -> PowerState:
        if not self._state:
            return "unknown"
        words = (await self._run(self._state)).lower().split()
        match words[-1:]:
            case ["on"]:
                return "on"
            case ["off"]:
                return "off"
            case _:
                return "unknown"

    async def _run(self, argv: tuple[str, ...]) -> str:
        try:
            return (await in_thread(run, argv, timeout=_SECONDS)).stdout
        except CommandFailed as error:
            hint = f"try it by hand: {shlex.join(argv)}"
            raise PowerFailed(f"{self.bmc}: {error.message}", hint=hint) from error


def by_exec(words: Exec, node: str) -> Commands:
    deeds: tuple[Deed, ...] = get_args(Deed)
    return Commands(f"the command for {node}", {d: getattr(words, d) for d in deeds}, words.state)


def by_ssh(words: Ssh, folder: Path) -> Commands:
    """`folder` is the site's. The host's key must be known already."""
    own = ["-i", str(folder / words.key)] if words.key else []
    if words.known_hosts:
        own += ["-o", f'UserKnownHostsFile="{folder / words.known_hosts}"']
    options = ("BatchMode=yes", "StrictHostKeyChecking=yes", "ConnectTimeout=10")
    base = ["ssh", *(part for option in options for part in ("-o", option)), *own]
    base += ["-p", str(words.port), "-l", words.user, "--", words.host]

    def asked(command: str) -> tuple[str, ...]:
        return (*base, command) if command else ()

    deeds: tuple[Deed, ...] = get_args(Deed)
    argv = {deed: asked(getattr(words, deed)) for deed in deeds}
    return Commands(f"{words.user}@{words.host}", argv, asked(words.state))


def by_ipmi(words: Ipmi, folder: Path) -> Commands:
    """`folder` is the site's; ipmitool reads the password there itself."""
    password = folder / words.password_file
    secretfile.read(password)
    base = ["ipmitool", "-I", "lanplus", "-H", words.address, "-p", str(words.port)]
    base += ["-U", words.username, "-f", str(password), *_IPMI_PATIENCE]
    if words.cipher is not None:
        base += ["-C", str(words.cipher)]
    efi = () if words.boot == "bios" else ("options=efiboot",)
    argv: dict[Deed, tuple[str, ...]] = {
        "on": (*base, "chassis", "power", "on"),
        "off": (*base, "chassis", "power", "soft"),
        "kill": (*base, "chassis", "power", "off"),
        "network": (*base, "chassis", "bootdev", "pxe", *efi),
    }
    where = f"the BMC {words.address}" + (f":{words.port}" if words.port != 623 else "")
    return Commands(where, argv, (*base, "chassis", "power", "status"))
