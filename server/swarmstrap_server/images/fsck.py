# SPDX-License-Identifier: GPL-2.0-or-later
"""Everything in an image store that should not be there, or should be and is not."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from swarmstrap.errors import BadInput, SwarmstrapError
from swarmstrap.manifest import MANIFEST_FILE
from swarmstrap.sshsig import Signers
from swarmstrap_server.images.library import FILES, Image, ImageStore, read_image
from swarmstrap_server.images.names import check_name
from swarmstrap_server.images.verify import Progress, verify, verify_signature
from swarmstrap_server.images.workspace import is_locked, is_ours

# What is done with every image that can be read: raises Untrusted.
Inspect = Callable[[Image], object]


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong at `path`, relative to the store, and what to do about it."""

    path: str
    problem: str
    advice: str


def fsck(
    store: ImageStore,
    signers: Signers,
    *,
    full: bool = False,
    progress: Progress = lambda done, total: None,
) -> Iterator[Finding]:
    """Names, sizes, signatures and tags; `full` reads every image to its end."""

    def inspect(image: Image) -> None:
        if full:
            verify(image, signers, progress=progress)
        else:
            verify_signature(image, signers)

    if store.root.is_dir():
        for path in sorted(store.root.iterdir()):
            if path != store.tags.path:
                yield from _name(path, inspect)
        yield from _tags(store)


def _name(folder: Path, inspect: Inspect) -> Iterator[Finding]:
    if not folder.is_dir() or folder.is_symlink() or not _is_name(folder.name):
        yield Finding(folder.name, "belongs to no image", "move it elsewhere")
        return
    versions = sorted(folder.iterdir())
    if not versions:
        yield Finding(folder.name, "has no versions", f"rmdir {folder}")
    for version in versions:
        yield from _version(version, f"{folder.name}/{version.name}", inspect)


def _version(folder: Path, path: str, inspect: Inspect) -> Iterator[Finding]:
    if is_ours(folder):
        if not is_locked(folder):
            yield Finding(
                path,
                "was being made or removed by somebody who did not end it",
                "nothing: the next capture, import or removal sweeps it away",
            )
        return
    if not folder.is_dir() or not _is_name(folder.name):
        yield Finding(path, "belongs to no image", "move it elsewhere")
        return
    for file in sorted(folder.iterdir()):
        if file.name not in FILES:
            yield Finding(f"{path}/{file.name}", "belongs to no image", "move it elsewhere")
    if not (folder / MANIFEST_FILE).is_file():
        yield Finding(path, f"has no {MANIFEST_FILE}", "bring it back from a backup, or remove it")
        return
    try:
        inspect(read_image(folder))
    except SwarmstrapError as error:
        yield Finding(path, error.message, error.hint)


def _tags(store: ImageStore) -> Iterator[Finding]:
    path = store.tags.path.name
    try:
        tagged = store.tags.all()
    except BadInput as error:
        yield Finding(path, error.message, error.hint)
        return
    for name, tags in tagged.items():
        for tag, version in tags.items():
            label = f"{name}:{tag}"
            away = f"swarmstrap image untag {label}"
            if not _exists(store, name, version):
                yield Finding(path, f"tag {label} is of {version}, which does not exist", away)
            if _exists(store, name, tag):
                yield Finding(path, f"tag {label} is hidden by the version of that name", away)


def _exists(store: ImageStore, name: str, version: str) -> bool:
    return _is_name(name) and _is_name(version) and store.place(name, version).is_dir()


def _is_name(name: str) -> bool:
    try:
        check_name(name, "an image")
    except BadInput:
        return False
    return True
