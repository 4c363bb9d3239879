# SPDX-License-Identifier: GPL-2.0-or-later
"""How a service writes its log to stderr: for people, for the journal, or for programs."""

import logging
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal

import msgspec

Form = Literal["plain", "journal", "json"]

PLAIN = "%(asctime)s %(levelname)s %(name)s: %(message)s"
# syslog(3): what sd-daemon(3) wants in angle brackets before each line.
_PRIORITIES = (
    (logging.CRITICAL, 2),
    (logging.ERROR, 3),
    (logging.WARNING, 4),
    (logging.INFO, 6),
)
_DEBUG = 7


class _Journal(logging.Formatter):
    """The journal has the time already. A traceback is as urgent as what it explains."""

    def __init__(self) -> None:
        super().__init__("%(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        number = next((n for level, n in _PRIORITIES if record.levelno >= level), _DEBUG)
        return "\n".join(f"<{number}>{line}" for line in super().format(record).splitlines())


class _Json(logging.Formatter):
    """An object a line: time (UTC), level, logger, message, and a traceback where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        told = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            told["traceback"] = self.formatException(record.exc_info)
        return msgspec.json.encode(told).decode()


def usual(environment: Mapping[str, str] = os.environ, fd: int = 2) -> Form:
    """`journal` when stderr leads there, see systemd.exec(5) on JOURNAL_STREAM."""
    status = os.fstat(fd)
    here = f"{status.st_dev}:{status.st_ino}"
    return "journal" if environment.get("JOURNAL_STREAM") == here else "plain"


def formatter(form: Form) -> logging.Formatter:
    match form:
        case "plain":
            return logging.Formatter(PLAIN)
        case "journal":
            return _Journal()
        case "json":
            return _Json()


def use(form: Form) -> None:
    """For all that is logged from now on, this package's from level INFO on."""
    for handler in logging.getLogger().handlers:
        handler.setFormatter(formatter(form))
    logging.getLogger("swarmstrap_server").setLevel(logging.INFO)
