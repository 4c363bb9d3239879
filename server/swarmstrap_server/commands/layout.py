# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands about layouts: check, explain, render, import, schema; on files, without a site."""

import argparse
import json
import sys
from pathlib import Path
from typing import get_args

import msgspec

from swarmstrap.errors import BadInput
from swarmstrap.hardware import Inventory
from swarmstrap.layout import Layout
from swarmstrap.layoutcheck import check_layout
from swarmstrap_server.commands import Commands
from swarmstrap_server.commands.exits import Exit
from swarmstrap_server.commands.telling import add_json, tell
from swarmstrap_server.control.store import Store
from swarmstrap_server.layouts.explain import explain
from swarmstrap_server.layouts.importing.choose import READERS
from swarmstrap_server.layouts.importing.reading import Losses
from swarmstrap_server.layouts.placement import Machine, explain_on
from swarmstrap_server.layouts.rendering import Shape, rendered
from swarmstrap_server.layouts.schema import layout_schema
from swarmstrap_server.layouts.writing import layout_yaml
from swarmstrap_server.site.checks import layout_problems
from swarmstrap_server.site.reading import read_site
from swarmstrap_server.site.yamlfile import load


def add_commands(commands: Commands) -> None:
    layout = commands.add_parser("layout", help="check and explain layouts, without a site")
    actions = layout.add_subparsers(metavar="ACTION", required=True)

    check = actions.add_parser("check", help="say what is wrong in layout files")
    check.add_argument("file", nargs="+", type=Path)
    check.add_argument("--json", action="store_true", help="problems as JSON")
    check.set_defaults(run=_check, apart=True)

    words = actions.add_parser("explain", help="say in words what a layout means")
    words.set_defaults(run=_explain, apart=True)

    drawn = actions.add_parser("render", help="show what a layout becomes on a machine")
    drawn.add_argument("--as", dest="shape", choices=get_args(Shape), default="plan")
    drawn.set_defaults(run=_render, apart=True)
    for command in (words, drawn):
        command.add_argument("file", type=Path)
        machine = command.add_mutually_exclusive_group(required=command is drawn)
        machine.add_argument("--inventory", type=Path, metavar="FILE", help="on this machine")
        machine.add_argument("--node", default="", metavar="NAME", help="on this node of the site")
    add_json(words)

    convert = actions.add_parser("import", help="make a layout of what another tool reads")
    convert.add_argument("--from", dest="format", choices=sorted(READERS), required=True)
    convert.add_argument("--strict", action="store_true", help="exit with 3 when anything is lost")
    convert.add_argument("path", type=Path, metavar="FILE|DIR")
    convert.set_defaults(run=_import, apart=True)

    schema = actions.add_parser("schema", help="print the JSON Schema of a layout, for editors")
    schema.set_defaults(run=_schema, apart=True)


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


def _explain(args: argparse.Namespace) -> int:
    layout = _load(args.file)
    on_machine = args.inventory or args.node
    lines = list(explain_on(layout, _machine(args)) if on_machine else explain(layout))
    tell(args, {"lines": lines}, *lines)
    return 0


def _render(args: argparse.Namespace) -> int:
    layout = _load(args.file)
    sys.stdout.write(rendered(layout, _machine(args), args.shape))
    return 0


def _load(path: Path) -> Layout:
    """Raises BadInput with the first problem of the file."""
    document = load(path, Layout, name=str(path))
    for problem in layout_problems(document):
        raise problem
    return document.value


def _machine(args: argparse.Namespace) -> Machine:
    if args.node:
        site = read_site(args.site)
        inventory = Store(site.paths.database).inventory(args.node)
        if inventory is None:
            raise BadInput(
                f"the hardware of {args.node} is not known", hint="boot it over the network once"
            )
        return Machine(inventory, args.node, site.settings.defaults.skip_block_devices)
    try:
        return Machine(msgspec.json.decode(args.inventory.read_bytes(), type=Inventory))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadInput(
            f"{args.inventory}: not an inventory: {error}",
            hint="swarmstrap-agent inventory --json prints one",
        ) from error
    except OSError as error:
        raise BadInput(f"{args.inventory}: cannot be read: {error.strerror}") from error


def _import(args: argparse.Namespace) -> int:
    """The layout on standard output, and on standard error what of the source is not in it."""
    losses = Losses()
    layout = READERS[args.format](args.path, losses)
    sys.stdout.write(layout_yaml(layout))
    for loss in losses.found:
        print(loss, file=sys.stderr)
    check_layout(layout)
    return Exit.PARTLY if args.strict and losses.found else Exit.DONE


def _schema(_args: argparse.Namespace) -> int:
    sys.stdout.write(layout_schema().decode())
    return 0
