# SPDX-License-Identifier: GPL-2.0-or-later
"""The supervised dnsmasq: checked, started, started again, and never left behind."""

import asyncio
import contextlib
import logging
import os
import signal
import time
from pathlib import Path
from typing import NoReturn

from swarmstrap_server.netboot.dhcp import IPXE, DhcpSettings, render
from swarmstrap_server.process import Child, ChildFailed
from swarmstrap_server.run import run

log = logging.getLogger(__name__)

_CHECK_SECONDS = 10.0
_RESTARTS = 5
# A dnsmasq that ran this long was healthy: its end is a new trouble, not the old one again.
_HEALTHY_SECONDS = 60.0


async def serve(
    settings: DhcpSettings, state: Path, *, tftp: Path = IPXE, netns: str | None = None
) -> NoReturn:
    """Run dnsmasq until cancelled, starting it again a few times when it ends by itself.

    It runs in the network namespace `netns`, or where the server runs.
    Raises ChildFailed with dnsmasq's own words when it does not stay up, and CommandFailed at
    once for a configuration that it refuses.
    """
    state.mkdir(parents=True, exist_ok=True)
    config = state / "dnsmasq.conf"
    config.write_text(render(settings, state, tftp))
    run(["dnsmasq", "--test", f"--conf-file={config}"], timeout=_CHECK_SECONDS)
    argv = ["dnsmasq", "--keep-in-foreground", f"--conf-file={config}"]
    restarts = 0
    while True:
        _end_leftover(state)
        started = time.monotonic()
        child = await Child.start("dnsmasq", argv, log_file=state / "dnsmasq.log", netns=netns)
        try:
            status = await child.wait()
        finally:
            await child.stop()
        restarts = 0 if time.monotonic() - started > _HEALTHY_SECONDS else restarts + 1
        if restarts > _RESTARTS:
            raise ChildFailed(
                f"dnsmasq does not stay up (status {status}): {child.last_words()}",
                hint="is another DHCP or TFTP server running here? see `ss -lunp`",
            )
        log.warning("dnsmasq ended with status %d, starting it again", status)
        await asyncio.sleep(min(2.0 ** (restarts - 1), 10.0))


def _end_leftover(state: Path) -> None:
    """dnsmasq drops root, so the kernel does not end it when a server is killed: end it here."""
    with contextlib.suppress(OSError, ValueError):
        pid = int((state / "dnsmasq.pid").read_text())
        if str(state / "dnsmasq.conf").encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, signal.SIGTERM)
