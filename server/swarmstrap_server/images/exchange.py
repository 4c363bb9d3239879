# SPDX-License-Identifier: GPL-2.0-or-later
"""Images that travel: as a folder or a plain tar of the five files, and back into a store.

The signed manifest travels first. Who signed is known before the payload is read, and an image is
in no store before all of it was verified.
"""

import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

from swarmstrap.errors import BadInput
from swarmstrap.manifest import (
    INDEX_FILE,
    MANIFEST_FILE,
    PAYLOAD_FILE,
    SIGNATURE_FILE,
    SIGNATURE_NAMESPACE,
    TORRENT_FILE,
    parse_manifest,
)
from swarmstrap.sshsig import Signers
from swarmstrap.units import MiB, human
from swarmstrap_server.images import signing
from swarmstrap_server.images.library import FILES, Image, ImageStore
from swarmstrap_server.images.source import Report
from swarmstrap_server.images.verify import Progress, verify
from swarmstrap_server.images.workspace import install, workspace

# Far more than manifest, signature and torrent need. The others have the size that is signed.
_LARGEST = 64 * MiB
_CHUNK = 1 << 20
_HINT = "export it with swarmstrap image export: the manifest comes first"

# A file's name and its content.
Part = tuple[str, IO[bytes]]


class _Told:
    """A file whose reads are told: `done` bytes of the image come before it, of `total`. tarfile
    reads 16 KiB at a time: each of that told would be much of the work.
    """

    def __init__(self, file: IO[bytes], done: int, total: int, progress: Progress) -> None:
        self._file = file
        self._done = done
        self._total = total
        self._progress = progress

    def read(self, size: int = -1, /) -> bytes:
        chunk = self._file.read(size)
        before, self._done = self._done, self._done + len(chunk)
        if before // _CHUNK != self._done // _CHUNK or self._done == self._total:
            self._progress(self._done, self._total)
        return chunk


def export_folder(
    image: Image, folder: Path, *, report: Report = lambda what, done, total: None
) -> None:
    """Copy the files of `image` to `folder`, which must be new or empty: none of them is left there
    when they cannot be written whole.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadInput(f"{folder} is not empty", hint="export to a new folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            for name, _, content in _contents(image, report):
                with (folder / name).open("xb") as file:
                    shutil.copyfileobj(content, file, _CHUNK)
        except BaseException:
            for name in FILES:
                (folder / name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise BadInput(f"cannot write {folder}: {error.strerror}") from error


def export_tar(
    image: Image, out: IO[bytes], *, report: Report = lambda what, done, total: None
) -> None:
    """Write `image` to `out` as NAME-VERSION/FILE; the same image gives the same bytes."""
    manifest = image.manifest
    created = int(datetime.fromisoformat(manifest.created).timestamp())
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        for name, size, content in _contents(image, report):
            member = tarfile.TarInfo(f"{manifest.name}-{manifest.version}/{name}")
            member.size = size
            member.mtime = created
            tar.addfile(member, content)


def export_file(
    image: Image, path: Path, *, report: Report = lambda what, done, total: None
) -> None:
    """The same into a new file, of which nothing is left when it cannot be written whole."""
    try:
        with path.open("xb") as file:
            try:
                export_tar(image, file, report=report)
            except BaseException:
                path.unlink()
                raise
    except OSError as error:
        raise BadInput(f"cannot write {path}: {error.strerror}") from error


def _contents(image: Image, report: Report) -> Iterator[tuple[str, int, _Told]]:
    """Name, size and content of each file, in the order of `FILES`."""
    progress = partial(report, f"exporting {image.label}")
    sizes = {name: (image.directory / name).stat().st_size for name in FILES}
    before, total = 0, sum(sizes.values())
    for name, size in sizes.items():
        with (image.directory / name).open("rb") as file:
            yield name, size, _Told(file, before, total, progress)
        before += size


def import_image(
    source: Path | IO[bytes],
    store: ImageStore,
    signers: Signers,
    *,
    report: Report = lambda what, done, total: None,
) -> Image:
    """Put what `export_folder` or `export_tar` wrote into `store`; a stream is such a tar.

    Raises BadInput for what is no image or is there already, Untrusted when a site with these
    `signers` must not have it. Nothing is left of what was refused.
    """
    with _opened(source) as parts:
        return import_parts(parts, store, signers, report=report)


def import_parts(
    parts: Iterator[Part],
    store: ImageStore,
    signers: Signers,
    *,
    report: Report = lambda what, done, total: None,
) -> Image:
    """The same with the five files as they come, in the order of `FILES`."""
    data = _take(parts, MANIFEST_FILE)
    signature = _take(parts, SIGNATURE_FILE)
    signing.verify(data, signature, namespace=SIGNATURE_NAMESPACE, signers=signers)
    manifest = parse_manifest(data)
    place = store.vacant(manifest.name, manifest.version)
    sizes = {INDEX_FILE: manifest.index.size, PAYLOAD_FILE: manifest.payload.size}
    with workspace(place) as work:
        image = Image(manifest, work)
        (work / MANIFEST_FILE).write_bytes(data)
        (work / SIGNATURE_FILE).write_bytes(signature)
        (work / TORRENT_FILE).write_bytes(_take(parts, TORRENT_FILE))
        progress, before = partial(report, f"importing {image.label}"), 0
        for name, size in sizes.items():
            told = _Told(_next(parts, name), before, sum(sizes.values()), progress)
            _copy(told, size, work / name)
            before += size
        if (extra := next(parts, None)) is not None:
            raise BadInput(f"more than an image: {extra[0]!r} follows it", hint=_HINT)
        verify(image, signers, progress=partial(report, f"verifying {image.label}"))
        install(work, place)
    return Image(manifest, place)


@contextmanager
def _opened(source: Path | IO[bytes]) -> Iterator[Iterator[Part]]:
    try:
        if not isinstance(source, Path):
            yield _from_tar(source)
        elif source.is_dir():
            yield _from_folder(source)
        else:
            with _open(source) as file:
                yield _from_tar(file)
    except tarfile.TarError as error:
        name = source if isinstance(source, Path) else "what came in"
        raise BadInput(f"{name} is no image: {error}", hint=_HINT) from error


def _from_folder(folder: Path) -> Iterator[Part]:
    for name in FILES:
        with _open(folder / name) as file:
            yield name, file


def _from_tar(stream: IO[bytes]) -> Iterator[Part]:
    try:
        with tarfile.open(fileobj=stream, mode="r|") as tar:
            for member in tar:
                if not member.isdir():
                    file = tar.extractfile(member) if member.isreg() else None
                    if file is None:
                        raise tarfile.TarError(f"{member.name!r} is no file")
                    yield PurePosixPath(member.name).name, file
    except (ValueError, OverflowError) as error:  # numbers in PAX headers
        raise tarfile.TarError(f"a header cannot be read: {error}") from error


def _next(parts: Iterator[Part], wanted: str) -> IO[bytes]:
    name, file = next(parts, ("nothing", None))
    if file is None or name != wanted:
        raise BadInput(f"no image: {wanted} should come here, not {name!r}", hint=_HINT)
    return file


def _take(parts: Iterator[Part], name: str) -> bytes:
    content = _next(parts, name).read(_LARGEST + 1)
    if len(content) > _LARGEST:
        raise BadInput(f"no image: {name} is larger than {human(_LARGEST)}", hint=_HINT)
    return content


def _copy(source: _Told, size: int, path: Path) -> None:
    """As many bytes as there have to be; when there are fewer, `verify` says so."""
    left = size
    with path.open("xb") as file:
        while left and (chunk := source.read(min(_CHUNK, left))):
            left -= file.write(chunk)
    if source.read(1):
        raise BadInput(f"no image: {path.name} has more bytes than the manifest says", hint=_HINT)


def _open(path: Path) -> IO[bytes]:
    try:
        return path.open("rb")
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror}", hint=_HINT) from error
