# SPDX-License-Identifier: GPL-2.0-or-later
"""Machines that are files, switched by commands of the `exec` driver."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Machines:
    """A file for each node: `on` or `off`, or absent for a BMC that does not answer."""

    folder: Path

    def state(self, node: str) -> str:
        return (self.folder / node).read_text().strip()

    def put(self, node: str, state: str) -> None:
        (self.folder / node).write_text(state)

    def unplug(self, node: str) -> None:
        (self.folder / node).unlink()

    def asked(self, node: str) -> list[str]:
        """What was asked of it, in order, but for its state."""
        noted = self.folder / f"{node}.asked"
        return noted.read_text().split() if noted.exists() else []

    def words(self) -> str:
        """The `power` of a group, as YAML."""
        script = self.folder / "bmc"
        script.write_text(
            "#!/bin/sh\n"
            'cd "$(dirname "$0")" || exit 1\n'
            'test -e "$1" || { echo "$1 does not answer" >&2; exit 1; }\n'
            'test "$2" = state && exec cat "$1"\n'
            'echo "$2" >>"$1.asked"\n'
            'case $2 in on) echo on >"$1" ;; off | kill) echo off >"$1" ;; esac\n'
        )
        script.chmod(0o755)
        deeds = ("on", "off", "kill", "state", "network")
        lines = (f'    {deed}: ["{script}", "{{name}}", {deed}]' for deed in deeds)
        return "  power:\n    driver: exec\n" + "\n".join(lines) + "\n"
