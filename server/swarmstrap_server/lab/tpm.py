# SPDX-License-Identifier: GPL-2.0-or-later
"""The TPM2 of a virtual node: swtpm, for as long as a power-on lasts."""

import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

from swarmstrap_server.lab.machines import TPM_LOG
from swarmstrap_server.process import Child


@contextlib.asynccontextmanager
async def chip(name: str, state: Path, *, logs: Path) -> AsyncIterator[socket.socket]:
    """A socket for QEMU to inherit; what the chip keeps lies in the folder `state`, and an empty
    one is a chip that was never used. Raises ChildFailed when there is no swtpm.
    """
    ours, theirs = socket.socketpair()
    argv = ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={state}"]
    argv += ["--ctrl", f"type=unixio,clientfd={theirs.fileno()}"]
    with ours:
        with theirs:
            child = await Child.start(
                f"TPM2 of {name}", argv, log_file=logs / TPM_LOG, pass_fds=[theirs.fileno()]
            )
        try:
            yield ours
        finally:
            await child.stop()
