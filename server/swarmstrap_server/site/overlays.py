# SPDX-License-Identifier: GPL-2.0-or-later
"""Overlays of the site folder, as they are laid and signed.

`overlays/NAME/` is laid at the root of the new system; `overlays/NAME.yaml` says whose files are,
and `overlays/NAME.sig` is the signature of all that, by `signatures.py`.
"""

import os
import stat
from collections.abc import Mapping
from pathlib import Path

import msgspec

from swarmstrap.errors import BadInput
from swarmstrap.overlays import MOST_BYTES, OVERLAY_NAME, unfit
from swarmstrap.units import human
from swarmstrap.wire import Overlay, OverlayFile
from swarmstrap_server.site.paths import SIGNATURE_SUFFIX, SitePaths
from swarmstrap_server.site.yamlfile import Document, Misfit, convert, load, nearest

TEMPLATE_SUFFIX = ".tmpl"


class Ownership(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Owner and group are numbers, which mean the same before the system has started."""

    owner: int = 0
    group: int = 0
    mode: str = ""


class OwnershipFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An `Ownership` by path in the installed system, as in `/etc/ssl/private/own.key`: each is
    decoded by itself, so that a complaint has its line.
    """

    files: dict[str, dict[str, str | int]]


def read_overlays(paths: SitePaths, problems: list[BadInput]) -> dict[str, Overlay]:
    """By name, and what is wrong with them into `problems`."""
    if not paths.overlays.is_dir():
        return {}
    folders = sorted(path for path in paths.overlays.iterdir() if path.is_dir())
    names = [folder.name for folder in folders]
    for table in sorted(paths.overlays.glob("*.yaml")):
        if table.is_file() and table.stem not in names:
            # Owners and modes that nobody gets, of files that may be secret.
            message = f"overlays/{table.name}: no overlay {table.stem!r}"
            problems.append(BadInput(f"{message}{nearest(table.stem, names)}"))
    return {folder.name: _read(paths, folder, problems) for folder in folders}


def _read(paths: SitePaths, folder: Path, problems: list[BadInput]) -> Overlay:
    """What cannot be laid is left out: its complaint is enough."""
    place = f"overlays/{folder.name}"
    if not OVERLAY_NAME.fullmatch(folder.name):
        problems.append(BadInput(f"{place}: not an overlay's name", hint="call it as in base"))
    found = _found(folder)
    if sum(status.st_size for _, status in found) > MOST_BYTES:
        message = f"{place}: larger than the {human(MOST_BYTES)} that a node takes"
        problems.append(BadInput(message, hint="put large files into the image"))
        return Overlay(name=folder.name, files=())
    files: dict[str, OverlayFile] = {}
    for path, status in found:
        try:
            file = _file(path, status, folder)
            if file.path in files:
                raise BadInput(f"there is a template for {file.path} too")
            files[file.path] = file
        except BadInput as error:
            shown = f"{place}/{path.relative_to(folder)}"
            problems.append(BadInput(f"{shown}: {error.message}"))
    owned = _owned(paths, folder.name, files, problems)
    signature = _signature(paths, folder.name)
    return Overlay(
        name=folder.name,
        files=tuple(owned[path] for path in sorted(owned)),
        signature=signature.read_bytes() if signature.exists() else b"",
    )


def _found(folder: Path) -> list[tuple[Path, os.stat_result]]:
    """All but directories, in the order of their names."""
    found = []
    for above, directories, names in os.walk(folder):
        paths = [Path(above, name) for name in (*directories, *names)]
        found += [(path, path.lstat()) for path in paths]
    return sorted(item for item in found if not stat.S_ISDIR(item[1].st_mode))


def _file(path: Path, status: os.stat_result, folder: Path) -> OverlayFile:
    """Raises BadInput when it cannot be laid."""
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode)):
        raise BadInput("neither a file nor a symbolic link")
    try:
        file = _as_it_is(path, status, folder)
    except OSError as error:
        raise BadInput(f"cannot be read: {error.strerror}") from error
    if complaint := unfit(file):
        raise BadInput(complaint)
    return file


def _as_it_is(path: Path, status: os.stat_result, folder: Path) -> OverlayFile:
    name = f"/{path.relative_to(folder)}"
    if stat.S_ISLNK(status.st_mode):
        return OverlayFile(path=name, kind="link", content=os.readlink(os.fsencode(path)))
    template = name.endswith(TEMPLATE_SUFFIX)
    return OverlayFile(
        path=name.removesuffix(TEMPLATE_SUFFIX),
        kind="template" if template else "file",
        content=path.read_bytes(),
        # As git keeps them: whatever else the operator's umask made of it.
        mode=0o755 if status.st_mode & stat.S_IXUSR else 0o644,
    )


def _owned(
    paths: SitePaths, name: str, files: Mapping[str, OverlayFile], problems: list[BadInput]
) -> dict[str, OverlayFile]:
    """`files` with what the table says of some of them."""
    owned = dict(files)
    table = paths.overlays / f"{name}.yaml"
    if not table.exists():
        return owned
    try:
        document = load(table, OwnershipFile, name=str(table.relative_to(paths.root)))
    except BadInput as error:
        problems.append(error)
        return owned
    for path, words in document.value.files.items():
        try:
            owned[path] = _with(files, path, words, document)
        except BadInput as error:
            problems.append(error)
    return owned


def _with(
    files: Mapping[str, OverlayFile],
    path: str,
    words: dict[str, str | int],
    document: Document[OwnershipFile],
) -> OverlayFile:
    if path not in files:
        raise document.problem(("files", path), f"no file {path}{nearest(path, list(files))}")
    file = files[path]
    try:
        said = convert(dict(words), Ownership)
    except Misfit as error:
        place = ("files", path, *error.path)
        raise document.problem(place, error.message, hint=error.hint) from error
    try:
        mode = int(said.mode, 8) if said.mode else file.mode
    except ValueError:
        message = f'{said.mode!r} is not a mode, as in "0640"'
        raise document.problem(("files", path, "mode"), message) from None
    owned = msgspec.structs.replace(file, owner=said.owner, group=said.group, mode=mode)
    if complaint := unfit(owned):
        raise document.problem(("files", path), complaint)
    return owned


def _signature(paths: SitePaths, name: str) -> Path:
    return paths.overlays / f"{name}{SIGNATURE_SUFFIX}"
