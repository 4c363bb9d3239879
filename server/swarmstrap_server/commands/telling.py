# SPDX-License-Identifier: GPL-2.0-or-later
"""What a command has done, in lines for a person or in one line of JSON for a machine."""

import argparse
from collections.abc import Iterable, Sequence

import msgspec
from rich.console import Console
from rich.table import Column, Table

_WIDEST = 100_000


def add_json(*parsers: argparse.ArgumentParser) -> None:
    for parser in parsers:
        parser.add_argument("--json", action="store_true", help="for machines")


def tell(args: argparse.Namespace, value: object, *lines: str) -> None:
    """`value` where --json was said, else the lines."""
    if args.json:
        print_json(value)
    else:
        print("\n".join(lines))


def print_json(value: object) -> None:
    print(msgspec.json.encode(value).decode())


def print_table(titles: Iterable[str | Column], rows: Iterable[Sequence[str]]) -> None:
    """Cells are shown as they are: a reason may have brackets, which rich takes for markup.

    A row is folded for a person's terminal alone: a pipe has one line for each.
    """
    table = Table(*titles, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    console = Console(markup=False)
    if not console.is_terminal:
        wide = console.options.update(width=_WIDEST)
        console.width = console.measure(table, options=wide).maximum
    console.print(table)
