# SPDX-License-Identifier: GPL-2.0-or-later
"""The log of one boot: everything, tracebacks too, in a file that stays while the node runs."""

import logging
from pathlib import Path

LOG = Path("/run/swarmstrap/log")


def start(path: Path = LOG) -> None:
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    logging.basicConfig(
        filename=path,
        level=logging.INFO,
        format="%(asctime)s %(levelname).1s %(name)s: %(message)s",
        encoding="utf-8",
        errors="backslashreplace",
        force=True,
    )


def read(path: Path = LOG) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def tail(lines: int, path: Path = LOG) -> str:
    return "\n".join(read(path).splitlines()[-lines:])
