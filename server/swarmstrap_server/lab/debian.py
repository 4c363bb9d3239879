# SPDX-License-Identifier: GPL-2.0-or-later
"""A real Debian system in a directory: what a demonstration captures as its first image."""

import hashlib
import shlex
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from swarmstrap.command import CommandFailed
from swarmstrap.errors import SwarmstrapError
from swarmstrap.units import Bytes, human
from swarmstrap_server.run import run

# A small server for any machine: boot loaders for each firmware, signed ones too, and the tools for
# whatever its root may lie on.
_PACKAGES = (
    "btrfs-progs",
    "ca-certificates",
    "cryptsetup-initramfs",
    "dbus",
    "dosfstools",
    "e2fsprogs",
    "efibootmgr",
    "grub-efi-amd64-bin",
    "grub-efi-amd64-signed",
    "grub-pc-bin",
    "grub2-common",
    "initramfs-tools",
    "iproute2",
    "kmod",
    "linux-image-amd64",
    "lvm2",
    "mdadm",
    "openssh-server",
    "shim-signed",
    "systemd-boot-efi",
    "systemd-sysv",
    "udev",
    "xfsprogs",
    "zstd",
)

# The same with the other initramfs of Debian's, which asks a TPM2 for the key of its root; nothing
# for what no row of the matrix does with it.
_NOT_WITH_DRACUT = {"cryptsetup-initramfs", "initramfs-tools", "btrfs-progs", "lvm2", "mdadm"}
_WITH_DRACUT = ("cryptsetup-bin", "dracut", "libtss2-rc0", "tpm2-tools")

# What a server without a screen, a sound card or an aerial never reads: a third of the tree.
_UNWANTED = (
    "/usr/share/man/*",
    "/usr/share/doc/*",
    "/usr/share/info/*",
    "/usr/share/locale/*",
    "/lib/modules/*/kernel/sound/*",
    "/lib/modules/*/kernel/drivers/media/*",
    "/lib/modules/*/kernel/drivers/bluetooth/*",
    "/lib/modules/*/kernel/drivers/comedi/*",
    "/lib/modules/*/kernel/drivers/iio/*",
    "/lib/modules/*/kernel/drivers/staging/*",
    "/lib/modules/*/kernel/drivers/net/wireless/*",
    "/lib/modules/*/kernel/drivers/gpu/drm/amd/*",
    "/lib/modules/*/kernel/drivers/gpu/drm/i915/*",
    "/lib/modules/*/kernel/drivers/gpu/drm/nouveau/*",
    "/lib/modules/*/kernel/drivers/gpu/drm/radeon/*",
)
# Copyright notices stay, as their licences ask.
_WANTED = ("/usr/share/doc/*/copyright",)

# Nodes are installed anew rather than upgraded each by itself at the first boot.
_MASKED = ("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer")

_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_ARCHIVES = "var/cache/apt/archives"
_BUILD_SECONDS = 1800.0
_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Selection:
    """Packages, and patterns of the paths that they do not bring."""

    packages: tuple[str, ...]
    unwanted: tuple[str, ...] = ()

    @property
    def version(self) -> str:
        """Another one for another selection: what is kept of an older one is not taken for it."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:8]


@dataclass(frozen=True, slots=True)
class DracutSelection(Selection):
    """Whose initramfs has `modules` that dracut would leave out. A node would have it made anew
    with them, which takes an emulated one ten minutes.
    """

    modules: tuple[str, ...] = ()

    def before(self) -> str:
        """Shell for mmdebstrap, before a kernel is installed in `$1`."""
        line = shlex.quote(f'add_dracutmodules+=" {" ".join(self.modules)} "')
        folder = '"$1/etc/dracut.conf.d"'
        return f"mkdir -p {folder} && echo {line} >{folder}/10-image.conf"


SMALL_SERVER = Selection(_PACKAGES, _UNWANTED)
_DRACUT_SERVER = DracutSelection(
    (*(name for name in _PACKAGES if name not in _NOT_WITH_DRACUT), *_WITH_DRACUT),
    _UNWANTED,
    modules=("crypt", "tpm2-tss"),
)
# By the names of their images.
SMALL_IMAGE, TPM2_IMAGE = "debian", "debian-dracut"
SYSTEMS = {SMALL_IMAGE: SMALL_SERVER, TPM2_IMAGE: _DRACUT_SERVER}


def build_debian(
    root: Path,
    *,
    cache: Path,
    suite: str = "bookworm",
    selection: Selection = SMALL_SERVER,
    say: Callable[[str], None],
) -> None:
    """Build Debian `suite` in the new directory `root`, from the host's own package sources.

    Downloaded packages stay in `cache`; a tree already at `root` is replaced. Needs root.
    Raises SwarmstrapError, in one line, when the host has no source for the suite or a package
    cannot be fetched or installed.
    """
    started = time.monotonic()
    lines = sources(suite)
    say(f"building Debian {suite} with {len(selection.packages)} packages and what they need")
    if root.exists():
        _remove(root)
    root.parent.mkdir(parents=True, exist_ok=True)
    (cache / "partial").mkdir(parents=True, exist_ok=True)
    try:
        argv = mmdebstrap_argv(suite, root, cache, lines, selection)
        run(argv, timeout=_BUILD_SECONDS)
        _finish(root)
    except CommandFailed as error:
        raise SwarmstrapError(
            f"cannot build Debian {suite}: {error.message}",
            hint="the host must reach its package sources: try apt-get update",
        ) from error
    size = Bytes(sum(path.lstat().st_size for path in root.rglob("*") if not path.is_dir()))
    say(f"built Debian {suite}: {human(size)} in {time.monotonic() - started:.0f} s")


def sources(suite: str) -> list[str]:
    """The host's own sources of `suite` as lines for apt, asked of apt itself.

    Raises SwarmstrapError when there are none.
    """
    line = "$(REPO_URI) $(RELEASE) $(COMPONENT)"
    asked = run(
        ["apt-get", "indextargets", "--format", line, "Created-By: Packages"], timeout=_SECONDS
    )
    releases = (suite, f"{suite}-updates", f"{suite}-security")
    found = dict.fromkeys(
        f"deb [signed-by={_KEYRING}] {uri} {release} {component}"
        for uri, release, component in map(str.split, asked.stdout.splitlines())
        if release in releases and component == "main"
    )
    if not found:
        raise SwarmstrapError(
            f"this machine has no package source for Debian {suite}",
            hint="add one to /etc/apt/sources.list and run apt-get update",
        )
    return list(found)


def mmdebstrap_argv(
    suite: str, root: Path, cache: Path, lines: list[str], selection: Selection
) -> list[str]:
    """The command that makes the tree; the package cache is mounted into it meanwhile."""
    archives = f'"$1/{_ARCHIVES}"'
    argv = ["mmdebstrap", "--mode=root", "--variant=minbase", "--format=directory"]
    argv += [f"--include={','.join(selection.packages)}", "--skip=essential/unlink"]
    argv += [f"--dpkgopt=path-exclude={pattern}" for pattern in selection.unwanted]
    argv += [f"--dpkgopt=path-include={pattern}" for pattern in _WANTED]
    mount = f"mkdir -p {archives} && mount --bind {shlex.quote(str(cache.absolute()))} {archives}"
    argv += [f"--setup-hook={mount}", f"--customize-hook=umount {archives}"]
    if isinstance(selection, DracutSelection):
        argv.append(f"--setup-hook={selection.before()}")
    return [*argv, suite, str(root), *lines]


def _remove(root: Path) -> None:
    """A build that was killed leaves the package cache mounted, which is to stay."""
    if (archives := root / _ARCHIVES).is_mount():
        run(["umount", archives], timeout=_SECONDS)
    shutil.rmtree(root)


def _finish(root: Path) -> None:
    run(["systemctl", f"--root={root}", "enable", "systemd-networkd.service"], timeout=_SECONDS)
    run(["systemctl", f"--root={root}", "mask", *_MASKED], timeout=_SECONDS)
    (root / "boot/efi").mkdir(exist_ok=True)
