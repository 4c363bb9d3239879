# SPDX-License-Identifier: GPL-2.0-or-later
"""The command of a further seeder: seed."""

import argparse
import socket
from pathlib import Path
from urllib.parse import urlsplit

from swarmstrap.errors import BadInput
from swarmstrap.sshsig import Signers
from swarmstrap_server import logform
from swarmstrap_server.commands import Commands
from swarmstrap_server.images.library import ImageStore


def add_commands(commands: Commands) -> None:
    seed = commands.add_parser("seed", help="seed a server's images from this machine as well")
    seed.add_argument("folder", type=Path, metavar="DIR", help="where to keep the images")
    seed.add_argument("--server", required=True, metavar="URL", help="as in http://192.0.2.1:8080")
    seed.add_argument(
        "--signers",
        type=Path,
        required=True,
        metavar="FILE",
        help="the site's keys/allowed_signers; revoked_keys may lie beside it",
    )
    seed.add_argument("--address", help="of this machine (default: the one the server sees)")
    seed.add_argument("--port", type=int, default=6881, help="for BitTorrent (default: 6881)")
    seed.set_defaults(run=_seed)


def _seed(args: argparse.Namespace) -> int:
    # libtorrent and aiohttp: other commands start sooner without.
    from swarmstrap_server.swarm.further import Further, serve

    logform.use(logform.usual())
    server = args.server.rstrip("/")
    further = Further(
        server=server,
        address=args.address or _own_address(server),
        port=args.port,
        store=ImageStore(args.folder),
        signers=Signers(args.signers, args.signers.with_name("revoked_keys")),
    )
    serve(further, lambda line: print(line, flush=True))
    return 0


def _own_address(server: str) -> str:
    """The address from which this machine reaches the server; nothing is sent."""
    url = urlsplit(server)
    if url.scheme != "http" or not url.hostname:
        raise BadInput(f"not a server's URL: {server!r}", hint="as in http://192.0.2.1:8080")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((url.hostname, url.port or 80))
        except OSError as error:
            raise BadInput(
                f"no way to {url.hostname}: {error.strerror}", hint="or give --address"
            ) from error
        address: str = probe.getsockname()[0]
    return address
