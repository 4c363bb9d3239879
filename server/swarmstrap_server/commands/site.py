# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands about the site: init, serve, initramfs, dhcp, hook and overlay sign."""

import argparse
import re
import socket
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path
from typing import get_args

from swarmstrap.errors import BadInput
from swarmstrap.units import human
from swarmstrap_server import logform
from swarmstrap_server.commands import Commands, rehearse
from swarmstrap_server.commands.telling import add_json, tell
from swarmstrap_server.images.signing import Key
from swarmstrap_server.installer.baked import baked
from swarmstrap_server.installer.initramfs import build
from swarmstrap_server.netboot import dhcp
from swarmstrap_server.site import making as newsite
from swarmstrap_server.site.paths import SitePaths
from swarmstrap_server.site.reading import read_site
from swarmstrap_server.site.signatures import Kind, sign


def add_commands(commands: Commands) -> None:
    init = commands.add_parser("init", help="make a site folder with keys and a CA")
    init.add_argument("--name", default=_host_name(), help="of the site (default: this host's)")
    init.add_argument(
        "--address",
        action="append",
        default=[],
        help="of this server on the node network; more of them, or names, for its certificate",
    )
    init.add_argument(
        "--publisher", type=Path, metavar="KEY", help="sign with this SSH key, or trust this .pub"
    )
    init.set_defaults(run=_init)

    serve = commands.add_parser("serve", help="run the server")
    serve.add_argument(
        "--log", choices=get_args(logform.Form), help="default: journal under systemd, else plain"
    )
    serve.set_defaults(run=_serve)

    initramfs = commands.add_parser("initramfs", help="build the installer's kernel and initramfs")
    initramfs.add_argument("--kernel", metavar="RELEASE", help="default: the newest installed")
    initramfs.add_argument(
        "--cache", type=Path, metavar="DIR", help="keep what all sites share here"
    )
    initramfs.set_defaults(run=_initramfs)

    rehearse.add_commands(commands)

    lines = commands.add_parser("dhcp", help="print the lines for your own DHCP server")
    lines.add_argument("flavour", choices=get_args(dhcp.Flavour))
    lines.set_defaults(run=_dhcp)

    for kind in get_args(Kind):
        _add_signing(commands, kind)
    add_json(init, initramfs)


def _add_signing(commands: Commands, kind: Kind) -> None:
    parent = commands.add_parser(kind, help=f"sign the site's {kind}s")
    actions = parent.add_subparsers(metavar="ACTION", required=True)
    signing = actions.add_parser("sign", help=f"sign every {kind} that changed")
    signing.add_argument("--signed-by", default="", metavar="KEY", help="and those of this key")
    signing.add_argument("--key", type=Path, help="the publisher's key (default: the site's)")
    signing.set_defaults(run=partial(_sign, kind))
    add_json(signing)


def _init(args: argparse.Namespace) -> int:
    paths = SitePaths(args.site)
    addresses = args.address
    if not addresses and paths.settings.exists():
        addresses = [read_site(args.site).settings.address]
    if not addresses:
        raise BadInput("init needs --address", hint="this server's address on the node network")
    made = newsite.init(args.site, args.name, addresses, args.publisher)
    end = "next: swarmstrap initramfs, then serve" if made else f"{args.site} is complete"
    tell(args, {"made": made}, *(f"made {line}" for line in made), end)
    return 0


def _serve(args: argparse.Namespace) -> int:
    # aiohttp and its friends: other commands start sooner without.
    from swarmstrap_server.serve import serve

    logform.use(args.log or logform.usual())
    serve(args.site, lambda line: print(line, flush=True))
    return 0


def _initramfs(args: argparse.Namespace) -> int:
    site = read_site(args.site)
    paths = site.paths
    built = build(
        out_dir=paths.boot,
        kernel=args.kernel,
        trusted=baked(site),
        cache=args.cache or paths.boot / "cache",
    )
    tell(
        args,
        {
            "initramfs": str(built.initramfs),
            "size": built.size,
            "kernel": built.release,
            "seconds": built.seconds,
        },
        f"{built.initramfs}: {human(built.size)}, kernel {built.release}, {built.seconds:.0f} s",
    )
    return 0


def _dhcp(args: argparse.Namespace) -> int:
    settings = read_site(args.site).settings
    address, port = IPv4Address(settings.address), settings.ports.boot
    lines = dhcp.lines_for(args.flavour, address, port, secure_boot=settings.dhcp.secure_boot)
    print(lines, end="")
    return 0


def _sign(kind: Kind, args: argparse.Namespace) -> int:
    site = read_site(args.site)
    key = Key(args.key or site.paths.publisher)
    given = sign(site, kind, key, instead_of=args.signed_by)
    signed = [str(one.path.relative_to(site.paths.root)) for one in given]
    lines = [f"signed {path}" for path in signed]
    tell(args, {"signed": signed}, *(lines or [f"every {kind} is signed as it is now"]))
    return 0


def _host_name() -> str:
    name = re.sub("[^A-Za-z0-9._-]", "", socket.gethostname().partition(".")[0])
    return name.lstrip("._-") or "site"
