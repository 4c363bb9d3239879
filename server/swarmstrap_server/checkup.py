# SPDX-License-Identifier: GPL-2.0-or-later
"""The whole site examined: its files, and whether keys, signatures and initramfs go with them."""

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from swarmstrap.errors import BadInput
from swarmstrap_server.control.operator_wire import SiteCheck
from swarmstrap_server.installer.baked import baked, is_current
from swarmstrap_server.site import pki
from swarmstrap_server.site.reading import Site, examine_site
from swarmstrap_server.site.secretfiles import secret_file_problems
from swarmstrap_server.site.signatures import Kind, how_to_sign, signables, unsigned

_AGAIN = "run swarmstrap init again: it makes what is missing"


def check_site(root: Path) -> SiteCheck:
    """Of the folder as it lies there now; raises PermissionError for what may not be read."""
    site, found = examine_site(root)
    problems = tuple(str(problem) for problem in found)
    if site is None:
        return SiteCheck(problems=problems)
    return SiteCheck(
        problems=(*problems, *secret_file_problems(site), *_beside_the_files(site)),
        site=site.settings.name,
        nodes=len(site.nodes),
        layouts=len(site.layouts),
        hooks=len(site.hooks),
    )


def _beside_the_files(site: Site) -> Iterator[str]:
    paths = site.paths
    yield from _server_problems(site)
    if not paths.allowed_signers.exists():
        yield f"keys/allowed_signers: missing ({_AGAIN})"
        return
    for kind in get_args(Kind):
        for one in unsigned(signables(site, kind), paths):
            name = one.path.relative_to(paths.root)
            yield f"{name}: not signed as it is now ({how_to_sign(kind, paths)})"
    if paths.initramfs.exists() and paths.ca_certificate.exists():
        yield from _installer_problems(site)


def _installer_problems(site: Site) -> Iterator[str]:
    try:
        trusted = baked(site)
    except BadInput as error:
        yield str(error)
        return
    if not is_current(trusted, site.paths.initramfs):
        yield "boot/initramfs.img: keys or floors changed since (run swarmstrap initramfs)"


def _server_problems(site: Site) -> Iterator[str]:
    paths, address = site.paths, site.settings.address
    for path in (paths.ca_certificate, paths.server_certificate, paths.server_key):
        if not path.exists():
            yield f"{path.relative_to(paths.root)}: missing ({_AGAIN})"
    if not paths.server_certificate.exists():
        return
    try:
        covered = pki.covers(paths.server_certificate.read_bytes(), address)
    except BadInput as error:
        yield f"keys/server.crt: {error} (remove it and keys/server.key, then {_AGAIN})"
        return
    if not covered:
        yield f"keys/server.crt: not for {address} ({_AGAIN})"
