# SPDX-License-Identifier: GPL-2.0-or-later
"""What a command speaks to: the site's own server by its socket, one elsewhere by its URL, or the
site folder itself.

A command that can ask a server elsewhere says `set_defaults(remote=True)`; `args.elsewhere` is its
URL. One that works on what it is given, and with no site but for `--node`, says `apart=True`.
"""

import argparse
import os
from pathlib import Path

from swarmstrap.errors import BadInput
from swarmstrap_server import secretfile
from swarmstrap_server.control.client import Operator, Remote
from swarmstrap_server.control.naming import with_names
from swarmstrap_server.control.store import Store
from swarmstrap_server.site.paths import SitePaths
from swarmstrap_server.site.reading import Site, read_site


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--server",
        dest="elsewhere",
        default=os.environ.get("SWARMSTRAP_SERVER", ""),
        metavar="URL",
        help="a server elsewhere, as in https://192.0.2.1:8444 (default: $SWARMSTRAP_SERVER, or "
        "the one of the site folder)",
    )
    parser.add_argument(
        "--token-file",
        type=Path,
        default=_path("SWARMSTRAP_TOKEN_FILE"),
        metavar="FILE",
        help="the token for that server (default: $SWARMSTRAP_TOKEN_FILE)",
    )
    parser.add_argument(
        "--ca",
        type=Path,
        default=_path("SWARMSTRAP_CA"),
        metavar="FILE",
        help="keys/ca.crt of that server's site (default: $SWARMSTRAP_CA, or the system's)",
    )


def check(args: argparse.Namespace) -> None:
    """Raises BadInput where a server elsewhere is named, and the command would not ask it."""
    apart = getattr(args, "apart", False) and not getattr(args, "node", "")
    if args.elsewhere and not (apart or getattr(args, "remote", False)):
        raise BadInput(
            "this command works on the image host alone",
            hint="run it there, without --server and $SWARMSTRAP_SERVER",
        )


def operator(args: argparse.Namespace) -> Operator:
    """Raises BadInput when a server elsewhere is named without all that it takes."""
    if not args.elsewhere:
        return Operator(SitePaths(args.site).socket)
    if args.token_file is None:
        raise BadInput(
            f"{args.elsewhere} wants a token",
            hint="say --token-file FILE, with a line of token add",
        )
    token = secretfile.read(args.token_file).strip()
    if not (token.isascii() and token.isprintable() and token):
        raise BadInput(f"{args.token_file} is not a token", hint="swarmstrap token add makes one")
    return Operator(Remote(args.elsewhere, token, args.ca))


def site_and_store(args: argparse.Namespace) -> tuple[Site, Store]:
    """The site folder with the machines that got a name, and its database."""
    site = read_site(args.site)
    store = Store(site.paths.database)
    return with_names(site, store), store


def _path(variable: str) -> Path | None:
    value = os.environ.get(variable)
    return Path(value) if value else None
