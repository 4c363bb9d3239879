# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands about keys: the publisher's (key ls, add, rotate, revoke), and secrets of nodes."""

import argparse
from pathlib import Path
from typing import get_args

from rich.table import Column

from swarmstrap_server.commands import Commands
from swarmstrap_server.commands.telling import add_json, print_json, print_table, tell
from swarmstrap_server.images.library import ImageStore
from swarmstrap_server.images.resign import signed_by
from swarmstrap_server.site.keyring import Keyring
from swarmstrap_server.site.paths import SitePaths
from swarmstrap_server.site.reading import read_site
from swarmstrap_server.site.secrets import read_secret
from swarmstrap_server.site.signatures import Kind, how_to_sign, signables, unsigned

_NEXT = "nodes learn it from their initramfs: swarmstrap initramfs"


def add_commands(commands: Commands) -> None:
    key = commands.add_parser("key", help="the publisher's keys: list, add, rotate, revoke")
    actions = key.add_subparsers(metavar="ACTION", required=True)
    ls = actions.add_parser("ls", help="every key that counts, or does not any more")
    ls.set_defaults(run=_ls)
    add = actions.add_parser("add", help="allow one more key: a new one, to be the next")
    add.add_argument("key", type=Path, nargs="?", help="or this one; its .pub is enough")
    add.add_argument("--next", action="store_true", help="that key is to sign after a rotation")
    add.set_defaults(run=_add)
    rotate = actions.add_parser("rotate", help="sign with the next key from now on")
    rotate.set_defaults(run=_rotate)
    revoke = actions.add_parser("revoke", help="let nothing count that a key ever signed")
    revoke.add_argument("key", help="a fingerprint, or a .pub file")
    revoke.set_defaults(run=_revoke)
    secret = commands.add_parser("secret", help="the passphrase of a node's LUKS volume")
    secret.add_argument("node")
    secret.add_argument("volume", help="its name in the layout")
    secret.set_defaults(run=_secret)
    add_json(ls, add, rotate, revoke, secret)


def _secret(args: argparse.Namespace) -> int:
    passphrase = read_secret(SitePaths(args.site), args.node, args.volume)
    tell(args, {"passphrase": passphrase}, passphrase)
    return 0


def _ls(args: argparse.Namespace) -> int:
    keys = Keyring(SitePaths(args.site)).ls()
    if args.json:
        said = [
            {"fingerprint": k.fingerprint, "role": k.role, "key": k.key, "comment": k.comment}
            for k in keys
        ]
        print_json(said)
        return 0
    titles = [Column(title, no_wrap=True) for title in ("key", "role", "comment")]
    print_table(titles, ((key.fingerprint, key.role, key.comment) for key in keys))
    return 0


def _add(args: argparse.Namespace) -> int:
    is_next = args.next or args.key is None
    added = Keyring(SitePaths(args.site)).add(args.key, is_next=is_next)
    told = {"fingerprint": added.fingerprint, "role": added.role}
    tell(args, told, f"{added.fingerprint} is {added.role}; {_NEXT}")
    return 0


def _rotate(args: argparse.Namespace) -> int:
    before, current = Keyring(SitePaths(args.site)).rotate()
    lines = [f"{current.fingerprint} signs from now on"]
    old = before.fingerprint if before else None
    if old is not None:
        lines += [
            f"what {old} signed counts until it is revoked; to sign it again:",
            f"  swarmstrap image sign --signed-by {old}",
            f"  swarmstrap hook sign --signed-by {old}",
            f"  swarmstrap overlay sign --signed-by {old}",
        ]
    tell(args, {"signs": current.fingerprint, "before": old}, *lines)
    return 0


def _revoke(args: argparse.Namespace) -> int:
    paths = SitePaths(args.site)
    revoked = Keyring(paths).revoke(args.key)
    store = ImageStore(paths.images)
    images = [i.label for i in store.ls() if signed_by(i) == revoked.fingerprint]
    site = read_site(args.site)
    hooks, overlays = (list(unsigned(signables(site, kind), paths)) for kind in get_args(Kind))
    tell(
        args,
        {
            "revoked": revoked.fingerprint,
            "images": images,
            "hooks": [hook.name for hook in hooks],
            "overlays": [overlay.name for overlay in overlays],
        },
        f"{revoked.fingerprint} is revoked; {_NEXT}",
        *(f"{label} was signed by it: swarmstrap image sign --force {label}" for label in images),
        *(
            f"{one} is not signed now: {how_to_sign(one.kind, paths)}"
            for one in (*hooks, *overlays)
        ),
    )
    return 0
