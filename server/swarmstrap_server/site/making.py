# SPDX-License-Identifier: GPL-2.0-or-later
"""`swarmstrap init`: a site folder with keys, a commented site.yaml, a layout and a database.

What exists is kept, so that running it again makes what is missing and nothing else.
"""

import ipaddress
from collections.abc import Sequence
from pathlib import Path

from swarmstrap.errors import BadInput
from swarmstrap_server.control.store import Store
from swarmstrap_server.files import replace
from swarmstrap_server.images.signing import Key
from swarmstrap_server.site import pki
from swarmstrap_server.site.checks import HOST_NAME, SITE_NAME
from swarmstrap_server.site.keyring import adopt
from swarmstrap_server.site.paths import SitePaths
from swarmstrap_server.site.reading import PLACES, read_site

_SITE = """\
# One Swarmstrap site. Every key is explained in docs/site.md; `swarmstrap check` reads it all.
name: {name}
address: {address}          # this server on the node network

# ports: {{boot: 8080, node: 8443, operator: 8444, seeder: 6881, deal: 6882}}

# Machines that nobody armed boot the agent once, to show their hardware: `swarmstrap node ls`.
# discovery: true

# `full` gives out addresses, `proxy` stands beside a DHCP server of yours, `off` does neither.
# dhcp: {{mode: full, interface: eth1, network: 192.0.2.0/24, range: [192.0.2.100, 192.0.2.200]}}

# swarm: {{seeder_rate: 100MiB}}

# defaults:
#   layout: default
#   finish: reboot            # or kexec, poweroff, shell
#   failure: {{action: retry, attempts: 2, then: reboot}}
#   arm_minutes: 30
"""

_NODES = """\
# The machines of this site, by MAC, by SMBIOS UUID, or by both.
# For the first one, take away the `[]` below and the `#` in front of what follows.
nodes: []
# - name: web1
#   mac: 52:54:00:12:34:56
#   layout: default
#   network:
#   - {mac: 52:54:00:12:34:56, dhcp: false, addresses: [192.0.2.11/24], gateway: 192.0.2.1}
"""

_LAYOUT = """\
# For BIOS and UEFI, for disks with sectors of 512 and of 4096 bytes.
disks:
- id: system
  # Exactly one disk must match, or `prefer` chooses among those that do.
  match: {size: ">= 4GiB"}
  prefer: smallest
  # `anything` replaces a disk that holds something; `empty-only` stops instead.
  wipe: empty-only
  partitions:
  - {label: ESP, type: esp, size: 256MiB, format: vfat, mount: /boot/efi}
  - {label: root, type: root, size_min: 2GiB, weight: 1, format: ext4, mount: /}
  - {label: swap, type: swap, size_min: 256MiB, size_max: 2GiB, priority: 10, format: swap}
"""


def init(root: Path, name: str, addresses: Sequence[str], publisher: Path | None) -> list[str]:
    """Make the site at `root`, and tell what was made, a line each.

    The first of `addresses` is the one nodes use; the server's certificate is for all of them and
    is made again when it is not. `publisher` is a key to use instead of a new one; its public
    half is enough where images are signed elsewhere.
    """
    _check(name, addresses)
    paths = SitePaths(root)
    made: list[str] = []
    _folders(paths)
    texts = {
        paths.settings: _SITE.format(name=name, address=addresses[0]),
        root / "nodes" / "lab.yaml": _NODES,
        root / "layouts" / "default.yaml": _LAYOUT,
        root / ".gitignore": "/images/\n/boot/\n/keys/\n/state/\n/run/\n",
    }
    for path, text in texts.items():
        if not path.exists():
            path.write_text(text)
            made.append(f"{path.relative_to(root)}")
    site = read_site(root)
    made += _certificates(paths, name, [site.settings.address, *addresses])
    made += _publisher(paths, publisher)
    if not paths.database.exists():
        Store(paths.database).close()
        made.append(f"{paths.database.relative_to(root)}")
    return made


def _check(name: str, addresses: Sequence[str]) -> None:
    if not SITE_NAME.fullmatch(name):
        raise BadInput(f"{name!r} is not a name for a site", hint="use letters, digits, '.', '-'")
    for address in addresses:
        if not _reachable(address):
            raise BadInput(f"{address!r} is neither an address nor a host name")


def _reachable(address: str) -> bool:
    """Whether it is an address or a host name, and not an address with a slip in it."""
    try:
        ipaddress.ip_address(address)
    except ValueError:
        last = address.rpartition(".")[2]
        return bool(HOST_NAME.fullmatch(address)) and not last.isdecimal()
    return True


def _folders(paths: SitePaths) -> None:
    hooks = [paths.root / "hooks" / place for place in PLACES]
    try:
        paths.root.mkdir(parents=True, exist_ok=True)
        for folder in (
            paths.images,
            paths.boot,
            paths.root / "layouts",
            paths.root / "nodes",
            *hooks,
        ):
            folder.mkdir(parents=True, exist_ok=True)
        for private in (paths.keys, paths.database.parent, paths.run):
            private.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise BadInput(f"cannot make {error.filename}: {error.strerror}") from error


def _certificates(paths: SitePaths, name: str, addresses: Sequence[str]) -> list[str]:
    made = []
    if not paths.ca_key.exists():
        _save(paths.ca_key, paths.ca_certificate, pki.make_ca(name))
        made.append("keys/ca.crt, the site's CA; keep keys/ca.key to yourself")
    ca = pki.Pair(paths.ca_key.read_bytes(), paths.ca_certificate.read_bytes())
    if not _serves(paths, ca, addresses):
        wanted = list(dict.fromkeys(addresses))
        _save(paths.server_key, paths.server_certificate, pki.make_server(ca, wanted))
        made.append(f"keys/server.crt for {', '.join(wanted)}")
    return made


def _serves(paths: SitePaths, ca: pki.Pair, addresses: Sequence[str]) -> bool:
    if not (paths.server_key.exists() and paths.server_certificate.exists()):
        return False
    certificate = paths.server_certificate.read_bytes()
    return pki.signed_by(certificate, ca.certificate) and all(
        pki.covers(certificate, address) for address in addresses
    )


def _publisher(paths: SitePaths, given: Path | None) -> list[str]:
    if paths.allowed_signers.exists():
        return []
    if given is None:
        key = Key.generate(paths.publisher)
        made = ["keys/publisher, which signs images and hooks"]
    else:
        key = adopt(given, paths.publisher)
        made = [f"{paths.publisher.relative_to(paths.root)} from {given}"]
    paths.allowed_signers.write_text(key.allowed_signers())
    return [*made, "keys/allowed_signers, the publishers that nodes trust"]


def _save(key: Path, certificate: Path, pair: pki.Pair) -> None:
    replace(key, pair.key, 0o600)
    certificate.write_bytes(pair.certificate)
