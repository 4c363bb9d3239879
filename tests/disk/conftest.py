# SPDX-License-Identifier: GPL-2.0-or-later
"""Image files, loop devices where a test needs the kernel (and so root), and a system to enter."""

import errno
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Attach = Callable[[Path, int], str]


def unmount(point: Path, node: str) -> None:
    """Returns when the filesystem on `node` is written back: not at umount, where a mount namespace
    that another test made meanwhile has a copy of the mount, but when the last of them ends.
    """
    subprocess.run(["umount", point], check=True)
    deadline = time.monotonic() + 60
    while True:
        try:
            # The kernel refuses an exclusive opening of what it has mounted anywhere.
            os.close(os.open(node, os.O_RDONLY | os.O_EXCL))
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


@pytest.fixture
def sparse(tmp_path: Path) -> Callable[[int], Path]:
    """Makes an image file of so many bytes that takes no room."""

    def make(size: int) -> Path:
        path = tmp_path / f"disk-{len(list(tmp_path.glob('disk-*')))}.img"
        with path.open("wb") as file:
            file.truncate(size)
        return path

    return make


@pytest.fixture
def attach() -> Iterator[Attach]:
    """Attaches a file to a loop device with a sector size of its own; detaches them at the end."""
    if os.geteuid() != 0:
        pytest.skip("loop devices need root")
    nodes: list[str] = []

    def to_loop(path: Path, sector: int) -> str:
        # Only with --partscan does the kernel take the order to read the table again.
        command = ["losetup", "--find", "--show", "--partscan", f"--sector-size={sector}"]
        command.append(str(path))
        nodes.append(subprocess.check_output(command, text=True).strip())
        return nodes[-1]

    yield to_loop
    for node in nodes:
        subprocess.run(["losetup", "--detach", node], check=True)


@pytest.fixture
def system(tmp_path: Path) -> Path:
    """A root whose only program is a static busybox."""
    busybox = shutil.which("busybox")
    if os.geteuid() != 0:
        pytest.skip("chroot needs root")
    if busybox is None or subprocess.run(["ldd", busybox], capture_output=True).returncode == 0:
        pytest.skip("needs busybox-static")
    root = tmp_path / "root"
    for folder in ("bin", "dev", "proc", "sys", "run", "etc", "usr/sbin", "usr/bin", "tmp"):
        (root / folder).mkdir(parents=True)
    shutil.copy(busybox, root / "bin/busybox")
    for name in ("sh", "ps", "ls", "env", "cat", "sleep", "touch", "cp"):
        (root / "bin" / name).symlink_to("busybox")
    return root
