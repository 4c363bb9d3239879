# SPDX-License-Identifier: GPL-2.0-or-later
"""A node of the boot benchmark: it does what the server's iPXE script says, and then is an agent.

    python -m tests.bench.firmware MAC ADDRESS BOOT-URL NODE-URL CA FOLDER SECONDS

It begins with a line on its stdin, says when it has both files, and ends with its stdin. SECONDS
pass between the last byte and the agent's first word, as on a machine whose kernel has to start.
"""

import asyncio
import hashlib
import re
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from swarmstrap.effects.http import NodeApi
from swarmstrap.effects.transfer.bootshare import PORT, BootShare
from swarmstrap.effects.transfer.staged import InTree
from swarmstrap.hardware import Boot, Cpu, Inventory, Memory, Nic
from swarmstrap.units import MiB
from swarmstrap.wire import Register

_STALL_SECONDS = 15.0
_SERVER_SECONDS = 60.0
_ROOM = 256 * MiB
_LOADS = re.compile(r"^(?:kernel|initrd) .*?(http://\S+)", re.MULTILINE)
_DIGEST = re.compile(r"\b[0-9a-f]{64}\b")


def main() -> None:
    mac, address, boot, node, ca, folder, seconds = sys.argv[1:]
    print("ready", flush=True)
    sys.stdin.readline()
    load(f"{boot}/boot/ipxe?mac={mac}&uuid=&platform=efi")
    print(time.monotonic(), flush=True)
    time.sleep(float(seconds))
    asyncio.run(be_agent(mac, address, node, Path(ca), Path(folder)))


def load(script_url: str) -> None:
    """Kernel and initramfs as iPXE would: as shared, or straight from the server."""
    while True:
        with urllib.request.urlopen(script_url) as answer:
            script = answer.read().decode()
        urls = _LOADS.findall(script)
        if urls:
            break
        assert "waits until its turn" in script
    shared = [url for url in urls if url.endswith("?shared")]
    if shared and [_sha256(url) for url in shared] == _DIGEST.findall(script):
        return
    for url in urls:
        if url not in shared and not _sha256(url):
            sys.exit(f"{url} is not to be had")


def _sha256(url: str) -> str:
    """Of what `url` gives, or nothing when it fails."""
    digest = hashlib.sha256()
    try:
        with urllib.request.urlopen(url, timeout=_STALL_SECONDS) as answer:
            while chunk := answer.read(MiB):
                digest.update(chunk)
    except (urllib.error.URLError, OSError):
        return ""
    return digest.hexdigest()


async def be_agent(mac: str, address: str, server: str, ca: Path, folder: Path) -> None:
    """Take the job, and pass the installer on until stdin ends."""
    inventory = Inventory(
        boot=Boot(current_boot_mode="uefi", pxe_interface=mac),
        cpu=Cpu(architecture="x86_64"),
        memory=Memory(total=1 << 30),
        interfaces=(Nic(name="eth0", mac_address=mac, has_carrier=True),),
    )
    async with NodeApi(server, ca, retrying=lambda *_: None) as api:
        register = Register(inventory=inventory, boot_id="", version="")
        registered = await api.register(register, patience=_SERVER_SECONDS)
        job = await api.job(registered.token, patience=_SERVER_SECONDS)
        if job.passes_on:
            share = BootShare(
                InTree(folder),
                api.passing,
                address=address,
                port=PORT,
                room=_ROOM,
                tell=lambda _: None,
            )
            share.start()
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    main()
