# SPDX-License-Identifier: GPL-2.0-or-later
"""The log of a service, as the journal and as programs read it."""

import json
import logging
import os
import sys
import tempfile

import pytest

from swarmstrap_server.logform import formatter, usual


def record(level: int, message: str, *, failed: bool = False) -> logging.LogRecord:
    info = None
    if failed:
        try:
            raise ValueError("no such thing")
        except ValueError:
            info = sys.exc_info()
    return logging.LogRecord("swarmstrap_server.x", level, "x.py", 1, message, ("n1",), info)


@pytest.mark.parametrize(
    ("level", "prefix"),
    [(logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (10, 7)],
)
def test_the_journal_gets_a_priority(level: int, prefix: int) -> None:
    line = formatter("journal").format(record(level, "%s: armed"))
    assert line == f"<{prefix}>swarmstrap_server.x: n1: armed"


def test_every_line_of_a_traceback_has_it() -> None:
    lines = formatter("journal").format(record(logging.ERROR, "%s", failed=True)).splitlines()
    assert len(lines) > 3
    assert all(line.startswith("<3>") for line in lines)
    assert lines[-1] == "<3>ValueError: no such thing"


def test_programs_get_an_object_a_line() -> None:
    line = formatter("json").format(record(logging.WARNING, 'a "%s"\nline', failed=True))
    told = json.loads(line)
    assert "\n" not in line
    assert (told["level"], told["message"]) == ("warning", 'a "n1"\nline')
    assert told["logger"] == "swarmstrap_server.x"
    assert told["traceback"].endswith("ValueError: no such thing")


def test_the_journal_is_recognised_by_its_stream() -> None:
    with tempfile.TemporaryFile() as journal, tempfile.TemporaryFile() as other:
        status = os.fstat(journal.fileno())
        environment = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
        assert usual(environment, journal.fileno()) == "journal"
        assert usual(environment, other.fileno()) == "plain"
        assert usual({}, journal.fileno()) == "plain"
