# SPDX-License-Identifier: GPL-2.0-or-later
"""Site files behind a generic initramfs: Linux unpacks concatenated archives, the later one wins.

So one initramfs, built once per kernel, serves every site and every rehearsal; only the few
kilobytes that carry the CA and the publisher's keys differ.
"""

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from swarmstrap_server.installer.cpio import pack

# The kernel looks for the next archive at a multiple of four and skips zeros before it
# (Documentation/driver-api/early-userspace/buffer-format.rst).
_ALIGNMENT = 4


def append(base: Path, files: Mapping[str, bytes], out: Path) -> None:
    """Write `base`, then `files` (absolute paths there, mode 0600), to `out`, atomically."""
    with tempfile.TemporaryDirectory(dir=out.parent) as name:
        staging, archive, whole = (Path(name) / part for part in ("tree", "cpio", "whole"))
        staging.mkdir()
        for path, content in files.items():
            target = staging / path.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
            target.chmod(0o600)
        pack(staging, archive)
        with base.open("rb") as first, archive.open("rb") as second, whole.open("wb") as joined:
            shutil.copyfileobj(first, joined, 1 << 20)
            joined.write(b"\0" * (-joined.tell() % _ALIGNMENT))
            shutil.copyfileobj(second, joined)
        whole.replace(out)
