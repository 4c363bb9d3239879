# SPDX-License-Identifier: GPL-2.0-or-later
"""`make demo`: a site, an installer and a real Debian image, then a rehearsal with three nodes.

Every stage is the product's own command; what a stage made is kept and used again.
"""

import argparse
import contextlib
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from swarmstrap.errors import SwarmstrapError
from swarmstrap_server import cli
from swarmstrap_server.files import locked
from swarmstrap_server.images.library import Image, ImageStore
from swarmstrap_server.lab.debian import SMALL_IMAGE, SYSTEMS, build_debian
from swarmstrap_server.lab.network import ADDRESS

IMAGE = SMALL_IMAGE


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="demo", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for everything made")
    parser.add_argument("--only-prepare", action="store_true", help="stop before the rehearsal")
    arguments, options = parser.parse_known_args(argv)
    out: Path = arguments.out
    try:
        with _timed("site, installer and image"):
            prepare(out)
    except SwarmstrapError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    if arguments.only_prepare:
        return 0
    work = ["--work", str(out / "rehearsal"), "--report", str(out / "report.json")]
    with _timed("rehearsal"):
        return _swarmstrap(out, "rehearse", IMAGE, *work, *options)


def prepare(out: Path) -> None:
    """A site in `out`/site with an installer and the image; the slow halves at the same time.
    Whoever comes while they are made waits, and finds them.

    Raises SwarmstrapError, with what failed already said on stderr.
    """
    out.mkdir(parents=True, exist_ok=True)
    with locked(out), ThreadPoolExecutor() as pool:
        _demand(out, "init", "--address", str(ADDRESS.ip))
        halves: tuple[Future[Image], Future[None]] = (
            pool.submit(capture_image, out, IMAGE),
            pool.submit(_demand, out, "initramfs"),
        )
        for half in halves:
            half.result()


def capture_image(out: Path, name: str) -> Image:
    """The image of a system that lab.debian has; raises SwarmstrapError as `prepare`."""
    selection, images = SYSTEMS[name], ImageStore(out / "site" / "images")
    if all(image.manifest.version != selection.version for image in images.ls(name)):
        root = out / f"{name}-root"
        build_debian(root, cache=out / "packages", selection=selection, say=print)
        _demand(out, "capture", str(root), f"{name}:{selection.version}")
        shutil.rmtree(root)
    return images.get(name, selection.version)


def _demand(out: Path, *arguments: str) -> None:
    if _swarmstrap(out, *arguments):
        raise SwarmstrapError(f"swarmstrap {arguments[0]} failed")


def _swarmstrap(out: Path, *arguments: str) -> int:
    return cli.main(["--site", str(out / "site"), *arguments])


@contextlib.contextmanager
def _timed(what: str) -> Iterator[None]:
    began = time.monotonic()
    print(f"== {what}", flush=True)
    yield
    print(f"== {what}: {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
