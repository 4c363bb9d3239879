# SPDX-License-Identifier: GPL-2.0-or-later
"""The smallest Linux worth booting: a kernel, busybox and a script. For probes and self-tests."""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from swarmstrap.errors import SwarmstrapError
from swarmstrap_server.installer.cpio import pack
from swarmstrap_server.lab.machines import KernelBoot
from swarmstrap_server.run import run

_BUSYBOX = Path("/bin/busybox")
_SECONDS = 30.0

# What every virtual node's hardware needs to be heard from inside.
MODULES = ("virtio_pci", "virtio_console")

_INIT = """\
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
for module in /modules/*; do insmod "$module"; done
report() {
    # The port has its name a moment after its driver, on a busy machine a longer one.
    until port=$(grep -ls org.swarmstrap.report /sys/class/virtio-ports/*/name); do sleep 0.1; done
    port=${port%/name}
    echo "$1" > "/dev/${port##*/}"
}
"""


def tiny_boot(
    kernel: Path, initramfs: Path, script: str, *, modules: Sequence[str] = MODULES
) -> KernelBoot:
    """Pack an initramfs that loads `modules` and runs `script` (busybox sh) as process 1.

    The script has `report LINE` for the virtio-serial port; when it ends, the kernel panics.
    `kernel` is named as Debian names it, `vmlinuz-VERSION`. Raises SwarmstrapError when
    busybox is missing and CommandFailed when a module is.
    """
    if not _BUSYBOX.exists():
        raise SwarmstrapError("no static busybox", hint="install the package busybox-static")
    with tempfile.TemporaryDirectory(prefix="swarmstrap-probe-") as name:
        root = Path(name)
        for folder in ("bin", "dev", "proc", "sys", "modules"):
            (root / folder).mkdir()
        shutil.copy2(_BUSYBOX, root / "bin/busybox")
        for number, module in enumerate(_module_files(kernel, modules)):
            shutil.copyfile(module, root / f"modules/{number:02}-{module.name}")
        (root / "init").write_text(_INIT + script)
        (root / "init").chmod(0o755)
        pack(root, initramfs)
    # The last console is the one that /dev/console, and so the script, writes to.
    return KernelBoot(kernel, initramfs, "console=tty0 console=ttyS0,115200 panic=-1 loglevel=4")


def _module_files(kernel: Path, modules: Sequence[str]) -> list[Path]:
    """The files of `modules` and of what they need, in loading order, each once."""
    version = kernel.name.removeprefix("vmlinuz-")
    files: dict[Path, None] = {}
    for module in modules:
        shown = run(["modprobe", "--show-depends", "-S", version, module], timeout=_SECONDS)
        for line in shown.stdout.splitlines():
            word, _, path = line.partition(" ")
            if word == "insmod":
                files[Path(path.strip())] = None
    return list(files)
