# SPDX-License-Identifier: GPL-2.0-or-later
"""The page about images names every option and every rule, and no other."""

import argparse
import re
from pathlib import Path

from swarmstrap_server.commands import capture
from swarmstrap_server.images.strip import RULES

PAGE = (Path(__file__).parents[2] / "docs/images.md").read_text()


def rows(heading: str) -> list[list[str]]:
    """The cells of the table below the row that begins with `heading`."""
    table = PAGE[PAGE.index(f"| {heading} |") :].partition("\n\n")[0]
    return [[cell.strip() for cell in row.split("|")[1:-1]] for row in table.splitlines()[2:]]


def test_every_option_is_explained() -> None:
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers()
    capture.add_commands(commands)
    usage = commands.choices["capture"].format_help()
    known = set(re.findall(r"^  (--[a-z-]+)", usage, re.MULTILINE))
    assert {
        option for row in rows("option") for option in re.findall("`(--[a-z-]+)`", row[0])
    } == known


def test_every_rule_is_explained() -> None:
    does = {"remove": "removes", "empty": "empties"}
    assert rows("rule") == [[f"`{rule.name}`", does[rule.action], rule.reason] for rule in RULES]
