# SPDX-License-Identifier: GPL-2.0-or-later
"""Archives for the kernel: the same files give the same bytes."""

from pathlib import Path

from swarmstrap_server.run import run

_SECONDS = 60.0


def pack(tree: Path, archive: Path) -> None:
    """Write everything below `tree` to the uncompressed `archive`, as an initramfs has it."""
    names = sorted(str(path.relative_to(tree)) for path in tree.rglob("*"))
    run(
        [
            "cpio",
            "--quiet",
            "--create",
            "--format=newc",
            "--reproducible",
            "-F",
            archive.absolute(),
        ],
        timeout=_SECONDS,
        cwd=tree,
        stdin="\n".join(names).encode(),
    )
