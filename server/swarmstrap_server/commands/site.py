# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands about the site: init, check, serve, initramfs, dhcp, hook and overlay sign."""

import argparse
import json
import re
import socket
import sys
from collections.abc import Iterator
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
from swarmstrap_server.installer.baked import baked, is_current
from swarmstrap_server.installer.initramfs import build
from swarmstrap_server.netboot import dhcp
from swarmstrap_server.site import making as newsite
from swarmstrap_server.site import pki
from swarmstrap_server.site.paths import SitePaths
from swarmstrap_server.site.reading import Site, examine_site, read_site
from swarmstrap_server.site.secretfiles import secret_file_problems
from swarmstrap_server.site.signatures import Kind, how_to_sign, sign, signables, unsigned


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

    check = commands.add_parser("check", help="read the whole site and say what is wrong")
    check.add_argument("--json", action="store_true", help="problems as JSON")
    check.set_defaults(run=_check)

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


def _check(args: argparse.Namespace) -> int:
    site, problems = examine_site(args.site)
    lines = [str(problem) for problem in problems]
    if site is not None:
        lines += [*secret_file_problems(site), *_key_problems(site)]
    if args.json:
        print(json.dumps({"problems": lines}, indent=2))
    elif lines or site is None:
        print("\n".join(lines), file=sys.stderr)
    else:
        print(
            f"site {site.settings.name}: nothing wrong "
            f"(nodes: {len(site.nodes)}, layouts: {len(site.layouts)}, hooks: {len(site.hooks)})"
        )
    return 1 if lines else 0


def _key_problems(site: Site) -> Iterator[str]:
    paths = site.paths
    again = "run swarmstrap init again: it makes what is missing"
    for path in (paths.ca_certificate, paths.server_certificate, paths.server_key):
        if not path.exists():
            yield f"{path.relative_to(paths.root)}: missing ({again})"
    if paths.server_certificate.exists():
        try:
            covered = pki.covers(paths.server_certificate.read_bytes(), site.settings.address)
        except BadInput as error:
            yield f"keys/server.crt: {error} (remove it and keys/server.key, then {again})"
        else:
            if not covered:
                yield f"keys/server.crt: not for {site.settings.address} ({again})"
    if not paths.allowed_signers.exists():
        yield f"keys/allowed_signers: missing ({again})"
        return
    for kind in get_args(Kind):
        for one in unsigned(signables(site, kind), paths):
            name = one.path.relative_to(paths.root)
            yield f"{name}: not signed as it is now ({how_to_sign(kind, paths)})"
    if paths.initramfs.exists() and not is_current(baked(site), paths.initramfs):
        yield "boot/initramfs.img: keys or floors changed since (run swarmstrap initramfs)"


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
