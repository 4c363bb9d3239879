# SPDX-License-Identifier: GPL-2.0-or-later
"""Steps that make one node's own system of a copy: files, keys, hooks, boot loader."""

from dataclasses import dataclass

from swarmstrap.volumes import DiskId


@dataclass(frozen=True, slots=True)
class WriteFile:
    """A file of the installed system made from text; `path` is absolute inside it."""

    path: str
    content: str
    mode: int

    def __str__(self) -> str:
        return f"write {self.path}"


@dataclass(frozen=True, slots=True)
class RemoveFiles:
    """Paths absolute inside the installed system; a missing one is no error."""

    paths: tuple[str, ...]
    why: str

    def __str__(self) -> str:
        rest = len(self.paths) - 1
        more = f" and {rest} more" if rest else ""
        return f"remove {self.paths[0]}{more}: {self.why}"


@dataclass(frozen=True, slots=True)
class MakeHostKeys:
    def __str__(self) -> str:
        return "make new SSH host keys"


@dataclass(frozen=True, slots=True)
class InstallGrub:
    """`targets` are GRUB platforms; `disk` carries the BIOS boot code; `nvram` adds an entry."""

    disk: DiskId
    targets: tuple[str, ...]
    efi_directory: str
    nvram: bool
    bootloader_id: str

    def __str__(self) -> str:
        entry = " and an NVRAM entry" if self.nvram else ""
        return f"install GRUB for {' and '.join(self.targets)} on {self.disk}{entry}"


@dataclass(frozen=True, slots=True)
class RefreshGrub:
    """After an update."""

    install: InstallGrub

    def __str__(self) -> str:
        return f"{self.install}, if the image has another one"


@dataclass(frozen=True, slots=True)
class RunHook:
    """`index` is the hook's place in the job, which carries its content."""

    index: int
    name: str
    where: str
    timeout: float

    def __str__(self) -> str:
        place = "in the new system" if self.where == "chroot" else "in the initramfs"
        return f"run hook {self.name} {place} (at most {self.timeout:.0f} s)"


SystemStep = WriteFile | RemoveFiles | MakeHostKeys | InstallGrub | RefreshGrub | RunHook
