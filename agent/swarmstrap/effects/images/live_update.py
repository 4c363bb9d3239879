# SPDX-License-Identifier: GPL-2.0-or-later
"""`swarmstrap-agent update`: a system that runs becomes another version of its image.

Nothing of it is written in place, so that programs go on with the files that they have open. What
the running kernel and firmware need of the old version is not kept: restart before long.
"""

import asyncio
import os
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from swarmstrap import deployed
from swarmstrap.deployed import Deployed
from swarmstrap.difference import Changes
from swarmstrap.effects.images.image_files import Folder, ImageFiles, Web
from swarmstrap.effects.images.unpack import Writers
from swarmstrap.effects.images.updating import ExistingTree, Terms, look
from swarmstrap.effects.images.zstd import index_from
from swarmstrap.effects.system import initramfs, records
from swarmstrap.effects.system.chroot import inside, write_file
from swarmstrap.effects.transfer.fetch import writer_count
from swarmstrap.effects.trust import verify_signature
from swarmstrap.errors import BadInput, Refused
from swarmstrap.index import Index
from swarmstrap.manifest import (
    INDEX_FILE,
    MANIFEST_FILE,
    SIGNATURE_FILE,
    SIGNATURE_NAMESPACE,
    Manifest,
    check_architecture,
    parse_manifest,
)
from swarmstrap.preserving import Rules, check_pattern
from swarmstrap.sshsig import Signers


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """`image` is a URL or a folder. `forget_hooks`: what hooks made may go."""

    root: Path
    image: str
    signers: Signers
    preserve: tuple[str, ...]
    checksum: bool
    allow_older: bool
    forget_hooks: bool


Tell = Callable[[str], None]


def compare(wish: Wish) -> Changes:
    """What `update` would do."""
    with closing(_files(wish)) as files:
        found, manifest = _admit(wish, files)
        index = index_from(files.read(INDEX_FILE), manifest)
        return look(wish.root, index, _terms(wish, found)).changes


def update(wish: Wish, tell: Tell) -> Changes:
    """Do it. Called while this process has no threads: it forks."""
    if os.geteuid():
        raise BadInput("only root can update a system", hint="run it with sudo")
    writers = Writers.start(writer_count(0))
    with closing(_files(wish)) as files:
        return asyncio.run(_update(wish, files, writers, tell))


async def _update(wish: Wish, files: ImageFiles, writers: Writers, tell: Tell) -> Changes:
    found, manifest = await asyncio.to_thread(_admit, wish, files)
    if found.hooks and not wish.forget_hooks:
        raise Refused(
            f"hooks changed this system ({', '.join(found.hooks)}), and only a deployment "
            "runs them again",
            hint="swarmstrap deploy --mode update does; or name with --preserve what they made, "
            "and say --forget-hooks",
        )
    title = f"{manifest.name} {manifest.version}"
    tree = ExistingTree(
        wish.root, _terms(wish, found), tell, lambda: records.begin(wish.root, title)
    )
    index = index_from(await asyncio.to_thread(files.read, INDEX_FILE), manifest)
    try:
        await _write(tree, files, writers, index)
    finally:
        await writers.stop()
    await asyncio.to_thread(_complete, tree, wish.root, found, manifest)
    if tree.findings.changes_grub:
        tell("GRUB itself changed: run grub-install as when it was installed")
    return tree.findings.changes


async def _write(tree: ExistingTree, files: ImageFiles, writers: Writers, index: Index) -> None:
    await tree.begin(writers, files.payload, index)
    try:
        async with asyncio.TaskGroup() as writing:
            for frame in tree.wanted(index):
                await asyncio.to_thread(files.bring, index.frames[frame])
                writing.create_task(writers.write(frame))
    except ExceptionGroup as group:
        raise group.exceptions[0] from group
    await writers.finish()


def _complete(tree: ExistingTree, root: Path, found: Deployed, manifest: Manifest) -> None:
    tree.describe()
    boot = deployed.boot_configuration(found, manifest)
    if boot is not None:
        write_file(boot, root)
    tree.tidy()
    write_file(deployed.write_record(deployed.updated(found, manifest)), root)
    records.end(root)


def _admit(wish: Wish, files: ImageFiles) -> tuple[Deployed, Manifest]:
    """The system's record and the image's manifest; raises Refused or Untrusted."""
    found = records.read(wish.root)
    data = files.read(MANIFEST_FILE)
    signature = files.read(SIGNATURE_FILE)
    verify_signature(data, signature, namespace=SIGNATURE_NAMESPACE, signers=wish.signers)
    manifest = parse_manifest(data)
    if manifest.kind != "tree":
        raise Refused(f"image {manifest.name} {manifest.version} is a whole disk")
    check_architecture(manifest, os.uname().machine)
    deployed.check_update(found, manifest, allow_older=wish.allow_older)
    deployed.check_live(found, own_initramfs=initramfs.made_here(wish.root))
    return found, manifest


def _files(wish: Wish) -> ImageFiles:
    if "://" in wish.image:
        return Web(wish.image, inside(wish.root, deployed.FOLDER) / "payload")
    return Folder(Path(wish.image))


def _terms(wish: Wish, found: Deployed) -> Terms:
    asked = (check_pattern(pattern) for pattern in wish.preserve)
    rules = Rules((*found.preserve, *found.own, *asked))
    return Terms(rules, found.mounts, wish.checksum, staged_inside="://" in wish.image)
