# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands about which images count: image sign, floor, revoke."""

import argparse
from pathlib import Path

from swarmstrap.errors import BadInput
from swarmstrap_server.commands import Commands
from swarmstrap_server.commands.telling import add_json, tell
from swarmstrap_server.images.library import ImageStore
from swarmstrap_server.images.names import split
from swarmstrap_server.images.resign import sign_again, signed_by
from swarmstrap_server.images.signing import Key
from swarmstrap_server.site.floors import raise_floor, revoke_version
from swarmstrap_server.site.paths import SitePaths

_NEXT = "nodes learn it from their initramfs: swarmstrap initramfs"


def add_actions(actions: Commands) -> None:
    sign = actions.add_parser("sign", help="sign with the current key what an earlier one signed")
    sign.add_argument("image", metavar="NAME[:VERSION]", nargs="*")
    sign.add_argument("--signed-by", metavar="KEY", help="all that the key of this name signed")
    sign.add_argument("--key", type=Path, help="the publisher's key (default: the site's)")
    sign.add_argument(
        "--force", action="store_true", help="though the signature that is there does not hold"
    )
    sign.set_defaults(run=_sign)
    floor = actions.add_parser("floor", help="let nothing older than this version be deployed")
    floor.set_defaults(run=_floor)
    revoke = actions.add_parser("revoke", help="let this version not be deployed any more")
    revoke.set_defaults(run=_revoke)
    floor.add_argument("image", metavar="NAME[:VERSION]")
    revoke.add_argument("image", metavar="NAME:VERSION")
    add_json(sign, floor, revoke)


def _sign(args: argparse.Namespace) -> int:
    paths = SitePaths(args.site)
    store = ImageStore(paths.images)
    if bool(args.signed_by) == bool(args.image):
        raise BadInput("say which images to sign", hint="their names, or --signed-by KEY")
    images = [store.get(*split(name)) for name in args.image]
    images += [image for image in store.ls() if signed_by(image) == args.signed_by]
    key = Key(args.key or paths.publisher)
    signed = [
        image.label for image in images if sign_again(image, key, paths.signers, blindly=args.force)
    ]
    lines = [f"signed {label}" for label in signed]
    tell(args, {"signed": signed}, *(lines or ["nothing to sign"]))
    return 0


def _floor(args: argparse.Namespace) -> int:
    paths = SitePaths(args.site)
    manifest = ImageStore(paths.images).get(*split(args.image)).manifest
    raise_floor(paths, manifest)
    tell(
        args,
        {"image": manifest.name, "not_before": manifest.created},
        f"nothing of {manifest.name} older than {manifest.created} is deployed; {_NEXT}",
    )
    return 0


def _revoke(args: argparse.Namespace) -> int:
    name, version = split(args.image)
    if version is None:
        raise BadInput("say which version to revoke", hint=f"as in {name}:VERSION")
    paths = SitePaths(args.site)
    manifest = ImageStore(paths.images).get(name, version).manifest
    revoke_version(paths, manifest)
    label = f"{manifest.name}:{manifest.version}"
    tell(args, {"revoked": label}, f"{label} is not deployed any more; {_NEXT}")
    return 0
