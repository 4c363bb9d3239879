# SPDX-License-Identifier: GPL-2.0-or-later
"""The installed system from outside: its files, and running its programs.

A path of that system is resolved inside its root, whatever its symlinks say. Its programs see
their own processes, a private /run and a clean environment: neither token nor agent.
"""

import contextlib
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from swarmstrap.command import Argument, Completed
from swarmstrap.effects.run import run
from swarmstrap.errors import StepFailed
from swarmstrap.steps.system import RemoveFiles, WriteFile

_MOUNT_SECONDS = 60.0
_MOST_SYMLINKS = 40  # as in path_resolution(7)
_EFIVARS = "/sys/firmware/efi/efivars"
# Debian's invoke-rc.d: 101 means that the action is not allowed.
_POLICY = "#!/bin/sh\nexit 101\n"


def inside(root: Path, path: str) -> Path:
    """Where `path` of the installed system lies for us, every symlink followed inside `root`."""
    top = Path(os.path.realpath(root))
    place, left, links = top, _parts(path), 0
    while left:
        part = left.pop(0)
        if part == "..":
            place = place if place == top else place.parent
            continue
        place /= part
        if place.is_symlink():
            links += 1
            if links > _MOST_SYMLINKS:
                raise StepFailed(f"too many symlinks in {path}", hint="look at the image")
            target = os.readlink(place)
            place = top if target.startswith("/") else place.parent
            left[:0] = _parts(target)
    return place


def write_file(step: WriteFile, root: Path) -> None:
    """Replace the file as a whole, unless it is as it should be. A symlink at its place is
    replaced, not followed.
    """
    directory, name = os.path.split(step.path)
    folder = inside(root, directory)
    if _is_there(step, folder / name):
        return
    # What only root may read does not lie in a directory that others may look into.
    folder.mkdir(mode=0o755 if step.mode & 0o044 else 0o700, parents=True, exist_ok=True)
    temporary = folder / f".{name}.swarmstrap"
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    with open(os.open(temporary, flags, 0o600), "w", encoding="utf-8") as file:
        file.write(step.content)
        os.fchmod(file.fileno(), step.mode)
    temporary.replace(folder / name)


def _is_there(step: WriteFile, place: Path) -> bool:
    try:
        status = place.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    same = status.st_mode == stat.S_IFREG | step.mode and status.st_uid == os.geteuid()
    return same and place.read_bytes() == step.content.encode()


def remove_files(step: RemoveFiles, root: Path) -> None:
    for path in step.paths:
        directory, name = os.path.split(path)
        with contextlib.suppress(FileNotFoundError):
            (inside(root, directory) / name).unlink()


@dataclass(frozen=True, slots=True)
class Chroot:
    """The installed system while its /dev, /sys and /run are there; each program gets a /proc."""

    root: Path

    def run(
        self,
        argv: Sequence[Argument],
        *,
        timeout: float,
        stdin: bytes | None = None,
        env: Mapping[str, str] | None = None,
        check: bool = True,
    ) -> Completed:
        """As `run`. Whatever the program leaves running is killed when it ends."""
        # A PID namespace with a /proc of its own: root could otherwise read the agent's memory.
        apart = ["unshare", "--mount", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc"]
        command = [*apart, f"--root={self.root}", "--wd=/", "--", *argv]
        name = os.path.basename(os.fsdecode(argv[0]))
        return run(command, timeout=timeout, stdin=stdin, env=env, check=check, name=name)


@contextlib.contextmanager
def enter(root: Path) -> Iterator[Chroot]:
    """Give the installed system what its programs expect, and take it away again."""
    with contextlib.ExitStack() as stack:
        for place in ("/dev", "/proc", "/sys", "/run"):
            inside(root, place).mkdir(exist_ok=True)
        # Private: unmounting our bind of /dev must not unmount what is below the real one.
        _mount(stack, ["--rbind", "--make-rprivate", "/dev"], inside(root, "/dev"))
        _mount(stack, ["-t", "sysfs", "sysfs"], inside(root, "/sys"))
        _mount(stack, ["-t", "tmpfs", "-o", "mode=0755", "tmpfs"], inside(root, "/run"))
        if Path(_EFIVARS).exists():
            # Not fatal: firmware may refuse, and only the NVRAM entry needs it.
            with contextlib.suppress(StepFailed):
                _mount(stack, ["-t", "efivarfs", "efivarfs"], inside(root, _EFIVARS))
        _lend_resolver(stack, root)
        _forbid_services(stack, root)
        yield Chroot(root)


def _mount(stack: contextlib.ExitStack, arguments: Sequence[Argument], target: Path) -> None:
    run(["mount", *arguments, target], timeout=_MOUNT_SECONDS)
    # Lazy: a program that a hook left behind in the kernel must not keep the disk mounted.
    stack.callback(run, ["umount", "--recursive", "--lazy", target], timeout=_MOUNT_SECONDS)


def _lend_resolver(stack: contextlib.ExitStack, root: Path) -> None:
    """Hooks may need names. The image's own file comes back; a link into /run costs nothing."""
    ours = Path("/etc/resolv.conf")
    theirs = inside(root, "/etc/resolv.conf")
    if not ours.is_file():
        return
    if theirs.is_relative_to(inside(root, "/run")):
        theirs.parent.mkdir(parents=True, exist_ok=True)
        theirs.write_bytes(ours.read_bytes())
    elif theirs.is_file():
        _mount(stack, ["--bind", ours], theirs)


def _forbid_services(stack: contextlib.ExitStack, root: Path) -> None:
    """Packages that a hook installs must not start daemons on the node; an own policy stays."""
    policy = inside(root, "/usr/sbin") / "policy-rc.d"
    if not policy.exists() and policy.parent.is_dir():
        policy.write_text(_POLICY, encoding="utf-8")
        policy.chmod(0o755)
        stack.callback(policy.unlink, missing_ok=True)


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]
