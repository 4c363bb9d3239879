# SPDX-License-Identifier: GPL-2.0-or-later
"""The image's own initramfs: whether it can start this node's root, and another one if not.

Looked into here, for the images' own tools list in three manners, and an image may have none.
Made by the image's tool, whose configuration keeps what was missing for the kernels to come.
"""

import bz2
import gzip
import lzma
import os
import re
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from swarmstrap import cpio
from swarmstrap.effects.images import zstd
from swarmstrap.effects.system.chroot import enter, inside, write_file
from swarmstrap.errors import BadInput, StepFailed
from swarmstrap.steps.system import Need, ReadyInitramfs, WriteFile

_REBUILD_SECONDS = 1800.0
_MODULES = "/lib/modules"
_COMPRESSED: tuple[tuple[bytes, Callable[[BinaryIO], BinaryIO]], ...] = (
    (b"\x28\xb5\x2f\xfd", zstd.open_stream),
    (b"\x1f\x8b", lambda file: cast("BinaryIO", gzip.open(file))),
    (b"\xfd7zXZ", lambda file: cast("BinaryIO", lzma.open(file))),
    (b"\x5d\x00\x00", lambda file: cast("BinaryIO", lzma.open(file))),
    (b"BZh", lambda file: cast("BinaryIO", bz2.open(file))),
)
# What does the work of a program whose name it does not have.
_STAND_INS = {"cryptsetup": ("systemd-cryptsetup",)}
_LIBRARY = re.compile(r"lib.+\.so\.\d+")
_PROGRAM_FOLDERS = ("bin", "sbin", "systemd")
_DRACUT_MODULES = {
    "cryptsetup": "crypt",
    "lvm": "lvm",
    "mdadm": "mdraid",
    "systemd-cryptsetup": "crypt",
    "libtss2-esys.so.0": "tpm2-tss",
    "clevis-decrypt-tpm2": "clevis clevis-pin-tpm2",
}


@dataclass(frozen=True, slots=True)
class _Tool:
    """What makes an initramfs. `config` is a file of our own that it reads, too."""

    name: str
    program: str
    config: str


_TOOLS = (
    _Tool(
        name="initramfs-tools",
        program="/usr/sbin/update-initramfs",
        config="/usr/share/initramfs-tools/modules.d/swarmstrap",
    ),
    _Tool(
        name="dracut",
        program="/usr/bin/dracut",
        config="/etc/dracut.conf.d/50-swarmstrap.conf",
    ),
    _Tool(
        name="mkinitcpio",
        program="/usr/bin/mkinitcpio",
        config="/etc/mkinitcpio.conf.d/50-swarmstrap.conf",
    ),
)


def ready(step: ReadyInitramfs, root: Path) -> str:
    """Look, and have another one made when something is missing. Returns a line for people that
    says what was done, and why. Raises StepFailed when the system would not start.
    """
    initrd, version = inside(root, step.initrd), _full_version(root, step.version)
    built_in = _built_in(step, root, version)
    try:
        missing = lacking(step, read_names(initrd), built_in)
        why = f"it lacks {_listed(missing)}" if missing else ""
    except BadInput as error:
        missing, why = step.modules, error.message
    if not why:
        return f"{step.initrd} has all that this node needs, and stays as it is"
    tool = _tool(step, root, why)
    _rebuild(tool, step, root, version, missing)
    try:
        left = lacking(step, read_names(initrd), built_in)
    except BadInput:
        left = ()
    if left:
        raise StepFailed(
            f"{step.initrd}, made anew by {tool.name}, lacks {_listed(left)}",
            hint="install what brings them before capturing the image, or a newer kernel",
        )
    return f"{step.initrd} was made anew by {tool.name}: {why}"


def made_here(root: Path) -> bool:
    """Whether the initramfs is not the image's."""
    return any(inside(root, tool.config).exists() for tool in _TOOLS)


def lacking(step: ReadyInitramfs, names: Set[str], built_in: Set[str]) -> tuple[Need, ...]:
    """What is neither among the paths of the initrd nor built into the kernel."""
    paths = [PurePosixPath(name) for name in names]
    drivers = {_module(path.name) for path in paths if ".ko" in path.name} | built_in
    # Scripts and folders of configuration have the names of programs, too.
    programs = {
        path.name
        for path in paths
        if path.parent.name in _PROGRAM_FOLDERS or _LIBRARY.fullmatch(path.name)
    }
    return (
        *(need for need in step.modules if need.name not in drivers),
        *(
            need
            for need in step.programs
            if programs.isdisjoint((need.name, *_STAND_INS.get(need.name, ())))
        ),
    )


def read_names(path: Path) -> set[str]:
    """Every path in the initramfs. Raises BadInput when it cannot be looked into."""
    try:
        with path.open("rb") as file:
            found, magic = cpio.names(file)
            if magic:
                file.seek(-len(magic), os.SEEK_CUR)
                with _opened(file, magic) as stream:
                    found += cpio.names(stream)[0]
    except (OSError, EOFError, lzma.LZMAError, zstd.Damaged) as error:
        raise BadInput(f"{path.name} cannot be read: {error}") from error
    if not found:
        raise BadInput(f"{path.name} holds no archive")
    return set(found)


def _opened(file: BinaryIO, magic: bytes) -> BinaryIO:
    for first, opener in _COMPRESSED:
        if magic.startswith(first):
            return opener(file)
    raise BadInput(f"it cannot be looked into (it begins with {magic[:4].hex(' ')})")


def _full_version(root: Path, version: str) -> str:
    """As its modules have it: some distributions call a kernel's file by another name."""
    folders = [path.name for path in inside(root, _MODULES).glob("*") if path.is_dir()]
    if version in folders or not folders:
        return version
    if len(folders) > 1:
        raise StepFailed(
            f"none of {', '.join(sorted(folders))} in {_MODULES} is of kernel {version}",
            hint="capture an image with the modules of its newest kernel",
        )
    return folders[0]


def _built_in(step: ReadyInitramfs, root: Path, version: str) -> set[str]:
    """Everything, in a kernel without modules."""
    folder = inside(root, f"{_MODULES}/{version}")
    if not folder.is_dir():
        return {need.name for need in step.modules}
    listed = folder / "modules.builtin"
    lines = listed.read_text(errors="replace").splitlines() if listed.exists() else []
    return {_module(PurePosixPath(line).name) for line in lines}


def _module(name: str) -> str:
    """`dm-mod.ko.xz` is the module dm_mod."""
    return name.partition(".ko")[0].replace("-", "_")


def _tool(step: ReadyInitramfs, root: Path, why: str) -> _Tool:
    for tool in _TOOLS:
        if inside(root, tool.program).exists():
            return tool
    raise StepFailed(
        f"{step.initrd} has to be made anew ({why}), and the image has nothing to make it with",
        hint="install initramfs-tools, dracut or mkinitcpio before capturing the image",
    )


def _rebuild(
    tool: _Tool, step: ReadyInitramfs, root: Path, version: str, missing: Sequence[Need]
) -> None:
    modules = [need.name for need in missing if need in step.modules]
    programs = [need.name for need in step.programs]
    match tool.name:
        case "initramfs-tools":
            command = ["-u", "-k", version]
            lines = modules
        case "dracut":
            command = ["--force", "--kver", version, step.initrd]
            parts = dict.fromkeys(_DRACUT_MODULES[name] for name in programs)
            lines = [
                f'add_drivers+=" {" ".join(modules)} "',
                f'add_dracutmodules+=" {" ".join(parts)} "',
            ]
        case _:
            command = ["-k", version, "-g", step.initrd]
            lines = [f"MODULES+=({' '.join(modules)})"]
    # What was missing is taken into those of the kernels to come, too.
    content = "\n".join(["# Written by Swarmstrap.", *lines, ""])
    write_file(WriteFile(tool.config, content, 0o644), root)
    before = _state(inside(root, step.initrd))
    with enter(root) as system:
        system.run([tool.program, *command], timeout=_REBUILD_SECONDS)
    if _state(inside(root, step.initrd)) == before:
        raise StepFailed(
            f"{tool.name} left {step.initrd} as it was",
            hint="see its configuration in the image: does it make no initramfs?",
        )


def _state(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def _listed(needs: Sequence[Need]) -> str:
    return ", ".join(map(str, needs))
