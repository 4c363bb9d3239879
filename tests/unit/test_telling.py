# SPDX-License-Identifier: GPL-2.0-or-later
"""What commands print: tables for people, lines of JSON for machines."""

import argparse

import pytest

from swarmstrap_server.commands.telling import add_json, print_table, tell


def test_brackets_in_a_cell_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("node", "remarks"), [("n1", "no [/dev/sda], see [bold]"), ("n2", "")])
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines == ["node  remarks", "n1    no [/dev/sda], see [bold]", "n2"]


def test_a_row_for_a_pipe_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    print_table(("node", "remarks"), [("n1", "why " * 50 + "end"), ("n2", "")])
    [_, long, short] = capsys.readouterr().out.splitlines()
    assert long.split() == ["n1", *["why"] * 50, "end"]
    assert short.split() == ["n2"]


@pytest.mark.parametrize(("words", "said"), [([], "one\ntwo\n"), (["--json"], '{"sum":2}\n')])
def test_lines_or_json(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    add_json(parser)
    tell(parser.parse_args(words), {"sum": 2}, "one", "two")
    assert capsys.readouterr().out == said
