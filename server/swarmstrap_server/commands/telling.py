# SPDX-License-Identifier: GPL-2.0-or-later
"""What a command has done, in lines for a person or in one line of JSON for a machine."""

import argparse

import msgspec


def add_json(*parsers: argparse.ArgumentParser) -> None:
    for parser in parsers:
        parser.add_argument("--json", action="store_true", help="for machines")


def tell(args: argparse.Namespace, value: object, *lines: str) -> None:
    """`value` where --json was said, else the lines."""
    print(msgspec.json.encode(value).decode() if args.json else "\n".join(lines))
