# SPDX-License-Identifier: GPL-2.0-or-later
"""`swarmstrap completion SHELL`: the lines by which a shell completes commands and names."""

import argparse
from collections.abc import Iterable
from typing import Literal, get_args

import argcomplete
from argcomplete.completers import BaseCompleter, FilesCompleter
from argcomplete.shell_integration import shellcode

from swarmstrap.errors import SwarmstrapError
from swarmstrap.manifest import MANIFEST_FILE
from swarmstrap_server.commands import Commands
from swarmstrap_server.site.paths import SitePaths
from swarmstrap_server.site.reading import read_site

Shell = Literal["bash", "zsh", "fish"]
_PROGRAM = "swarmstrap"


def add_commands(commands: Commands) -> None:
    completion = commands.add_parser("completion", help="print what makes a shell complete words")
    completion.add_argument("shell", choices=get_args(Shell))
    completion.set_defaults(run=_completion, apart=True)


def _completion(args: argparse.Namespace) -> int:
    print(shellcode([_PROGRAM], shell=args.shell))
    return 0


def complete(parser: argparse.ArgumentParser) -> None:
    """Answers a shell that asks, and ends the process; otherwise does nothing."""
    argcomplete.autocomplete(parser, always_complete_options="long", default_completer=_Words())


class _Words(BaseCompleter):
    """An argument's name tells what it takes: a node, an image, or else a file."""

    def __call__(
        self,
        *,
        prefix: str,
        action: argparse.Action,
        parser: argparse.ArgumentParser,
        parsed_args: argparse.Namespace,
    ) -> Iterable[str]:
        paths = SitePaths(parsed_args.site)
        try:
            match action.dest:
                case "node":
                    return tuple(read_site(paths.root).nodes)
                case "to":
                    site = read_site(paths.root)
                    return (*site.nodes, *site.groups)
                case "image" | "old" | "new":
                    return _images(paths)
                case _:
                    return FilesCompleter()(prefix)
        except SwarmstrapError:
            return ()  # nothing is known of a site that cannot be read


def _images(paths: SitePaths) -> list[str]:
    found = paths.images.glob(f"*/*/{MANIFEST_FILE}")
    return [f"{path.parent.parent.name}:{path.parent.name}" for path in found]
