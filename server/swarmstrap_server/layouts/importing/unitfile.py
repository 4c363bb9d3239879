# SPDX-License-Identifier: GPL-2.0-or-later
"""A section of a file in systemd's INI dialect (systemd.syntax(7))."""

from collections.abc import Collection, Iterator
from pathlib import Path

from swarmstrap.errors import BadInput
from swarmstrap_server.layouts.importing.reading import Entry, Losses


def read_section(path: Path, section: str, lists: Collection[str], losses: Losses) -> Entry:
    """The assignments of `section`: the last one counts, but for keys of `lists`, which add up
    until an empty one forgets them. Raises BadInput with file and line.
    """
    values: dict[str, object] = {}
    lines: dict[str, int] = {}
    here = ""
    for number, line in _logical_lines(path):
        if line.startswith("[") and line.endswith("]"):
            here = line[1:-1]
            if here != section:
                losses.add(f"{path}:{number}", f"section {here}", f"only [{section}] is read")
            continue
        key, equals, value = (part.strip() for part in line.partition("="))
        if not equals:
            raise BadInput(f"{path}:{number}: {line!r} is no assignment", hint="write Key=value")
        if here != section:
            continue
        lines[key] = number
        before = values.get(key)
        if key in lists and value:
            values[key] = [*(before if isinstance(before, list) else []), value]
        else:
            values[key] = value or None
    if not lines:
        raise BadInput(f"{path}: nothing in a section [{section}]")
    return Entry(values, lambda key: f"{path}:{lines.get(key, 1)}", losses)


def _logical_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Each with the number of its first line: comments left out, continuations joined."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}:1: not UTF-8 text") from error
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror}") from error
    first, joined = 0, ""
    for number, line in enumerate(text.splitlines(), start=1):
        bare = line.strip()
        if bare.startswith(("#", ";")) or not (bare or joined):
            continue
        first = first if joined else number
        if bare.endswith("\\"):
            joined += bare[:-1] + " "
            continue
        yield first, (joined + bare).strip()
        joined = ""
    if joined:
        yield first, joined.strip()
