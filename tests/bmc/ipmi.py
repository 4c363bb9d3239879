# SPDX-License-Identifier: GPL-2.0-or-later
"""A BMC that speaks IPMI 2.0: OpenIPMI's ipmi_sim, with a machine of ours behind it."""

import contextlib
import shlex
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from tests.bmc import chassis
from tests.bmc.chassis import Machine
from tests.bmc.waiting import answers

from swarmstrap_server.process import Child

USER, PASSWORD = "admin", "Secret4ipmi"
# ipmi_sim knows no newer one.
CIPHER = 3

_CONTROL = """\
#!/bin/sh
# MC get PARAMETER, or MC set PARAMETER VALUE, as ipmi_sim calls it.
ask() { %(ask)s "$1"; }
case "$2 $3 $4" in
    "get power "*) test "$(ask state)" = on && echo power:1 || echo power:0 ;;
    "get boot "*) echo boot:default ;;
    "set power 1") ask on ;;
    "set power 0") ask kill ;;
    "set shutdown "*) ask off ;;
    "set boot pxe") ask network ;;
    *) exit 1 ;;
esac
"""
_LAN = """\
name "bmc"
set_working_mc 0x20
startlan 1
  addr %(address)s %(port)d
  priv_limit admin
  allowed_auths_admin md5
  guid a123456789abcdefa123456789abcdef
endlan
chassis_control "%(control)s 0x20"
user 2 true "%(user)s" "%(password)s" admin 10 md5
"""
_MACHINE = """\
mc_setbmc 0x20
mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02
mc_enable 0x20
"""


@contextlib.asynccontextmanager
async def bmc(
    machine: Machine, folder: Path, address: str, port: int, *, netns: str | None = None
) -> AsyncIterator[None]:
    """It answers from the beginning of the context on. `folder` is new, its files are here."""
    folder.mkdir()
    control, socket = folder / "control", folder / "chassis"
    ask = shlex.join([sys.executable, "-S", str(Path(chassis.__file__)), str(socket)])
    control.write_text(_CONTROL % {"ask": ask})
    control.chmod(0o755)
    lan = {"address": address, "port": port, "user": USER, "password": PASSWORD}
    (folder / "lan.conf").write_text(_LAN % {**lan, "control": control})
    (folder / "sim.emu").write_text(_MACHINE)
    argv = ["ipmi_sim", "-n", "-p", "-c", str(folder / "lan.conf"), "-f", str(folder / "sim.emu")]
    argv += ["-s", str(folder / "state")]
    async with chassis.chassis(machine, socket):
        child = await Child.start("ipmi_sim", argv, log_file=folder / "log", netns=netns)
        try:
            await answers(_status(folder, address, port), netns)
            yield
        finally:
            await child.stop()


def _status(folder: Path, address: str, port: int) -> list[str]:
    password = folder / "password"
    password.write_text(PASSWORD)
    argv = ["ipmitool", "-I", "lanplus", "-H", address, "-p", str(port), "-U", USER]
    return [
        *argv,
        "-f",
        str(password),
        "-C",
        str(CIPHER),
        "-N",
        "1",
        "-R",
        "1",
        "chassis",
        "status",
    ]
