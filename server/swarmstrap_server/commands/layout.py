# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands about layouts: check, schema, import. They work on files, and need no site."""

import argparse
import json
import sys
from pathlib import Path
from typing import TypeAlias

from swarmstrap.errors import BadInput
from swarmstrap.layout import Layout
from swarmstrap.layoutcheck import check_layout
from swarmstrap_server.layouts.importing.choose import READERS
from swarmstrap_server.layouts.importing.reading import Losses
from swarmstrap_server.layouts.schema import layout_schema
from swarmstrap_server.layouts.writing import layout_yaml
from swarmstrap_server.site.checks import layout_problems
from swarmstrap_server.site.yamlfile import load

_LOSSES = 3
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_commands(commands: Commands) -> None:
    layout = commands.add_parser("layout", help="check and explain layouts, without a site")
    actions = layout.add_subparsers(metavar="ACTION", required=True)

    check = actions.add_parser("check", help="say what is wrong in layout files")
    check.add_argument("file", nargs="+", type=Path)
    check.add_argument("--json", action="store_true", help="problems as JSON")
    check.set_defaults(run=_check)

    convert = actions.add_parser("import", help="make a layout of what another tool reads")
    convert.add_argument("--from", dest="format", choices=sorted(READERS), required=True)
    convert.add_argument("--strict", action="store_true", help="exit with 3 when anything is lost")
    convert.add_argument("path", type=Path, metavar="FILE|DIR")
    convert.set_defaults(run=_import)

    schema = actions.add_parser("schema", help="print the JSON Schema of a layout, for editors")
    schema.set_defaults(run=_schema)


def _check(args: argparse.Namespace) -> int:
    problems = [str(problem) for path in args.file for problem in _problems(path)]
    if args.json:
        print(json.dumps({"problems": problems}, indent=2))
    elif problems:
        print("\n".join(problems), file=sys.stderr)
    else:
        print("nothing wrong")
    return 1 if problems else 0


def _problems(path: Path) -> list[BadInput]:
    try:
        return layout_problems(load(path, Layout, name=str(path)))
    except BadInput as error:
        return [error]


def _import(args: argparse.Namespace) -> int:
    """The layout on standard output, and on standard error what of the source is not in it."""
    losses = Losses()
    layout = READERS[args.format](args.path, losses)
    sys.stdout.write(layout_yaml(layout))
    for loss in losses.found:
        print(loss, file=sys.stderr)
    check_layout(layout)
    return _LOSSES if args.strict and losses.found else 0


def _schema(_args: argparse.Namespace) -> int:
    sys.stdout.write(layout_schema().decode())
    return 0
