# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds what a node boots: a kernel of this distribution and the initramfs with the agent.

The part that all sites share is made by dracut and kept in a cache; what a site trusts is
appended to it.
"""

import hashlib
import re
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from swarmstrap.errors import BadInput
from swarmstrap.units import Bytes
from swarmstrap_server.files import locked
from swarmstrap_server.installer import overlay, stage
from swarmstrap_server.installer.baked import note
from swarmstrap_server.run import run
from swarmstrap_server.shipped import shipped

DRACUT = Path("/usr/lib/dracut")
MODULE = "50swarmstrap"
# Measured on 212 MB: -3 65 MB in 2 s, -10 57 MB in 5 s, -15 57 MB in 23 s, -19 51 MB in 62 s.
COMPRESS = "zstd -10 -T0 -q"
_DRACUT_SECONDS = 1200.0


@dataclass(frozen=True, slots=True)
class Built:
    """What a node fetches; `size` is the initramfs, `seconds` what making both of them took."""

    kernel: Path
    initramfs: Path
    release: str
    size: Bytes
    seconds: float


def build(*, out_dir: Path, kernel: str | None, trusted: Mapping[str, bytes], cache: Path) -> Built:
    """Make `vmlinuz` and `initramfs.img` in `out_dir`; `trusted` is as `baked` makes it.

    `kernel` is a release such as 6.1.0-44-amd64; None takes the newest one installed. Raises
    BadInput for a kernel that is not there, SwarmstrapError when dracut fails.
    """
    started = time.monotonic()
    release = kernel or newest_kernel()
    image = _kernel_image(release)
    out_dir.mkdir(parents=True, exist_ok=True)
    out_dir = out_dir.resolve()  # the programs called run in other folders
    vmlinuz, initramfs = out_dir / "vmlinuz", out_dir / "initramfs.img"
    overlay.append(generic(release, cache), trusted, initramfs)
    note(trusted, initramfs)
    shutil.copyfile(image, vmlinuz)
    size = Bytes(initramfs.stat().st_size)
    return Built(vmlinuz, initramfs, release, size, time.monotonic() - started)


def newest_kernel() -> str:
    """The highest release that has both an image in /boot and modules."""
    releases = [image.name.removeprefix("vmlinuz-") for image in Path("/boot").glob("vmlinuz-*")]
    usable = [release for release in releases if Path("/lib/modules", release).is_dir()]
    if not usable:
        raise BadInput(
            "no kernel with modules is installed on this machine",
            hint="install one: apt-get install linux-image-amd64",
        )
    return max(usable, key=_by_number)


def generic(release: str, cache: Path) -> Path:
    """The initramfs for `release` without keys, from `cache` when nothing in it has changed."""
    module = shipped(f"dracut/{MODULE}")
    kept = cache / f"initramfs-{release}-{_fingerprint(release, module)}.img"
    cache.mkdir(parents=True, exist_ok=True)
    with locked(cache):
        if not kept.exists():
            _make(release, module, kept)
    return kept


def _make(release: str, module: Path, kept: Path) -> None:
    """`kept`, in place of what its cache has of this release."""
    cache = kept.parent.resolve()
    with tempfile.TemporaryDirectory(dir=cache, prefix=".build-") as name:
        scratch = Path(name)
        stage.make(scratch / "stage")
        dracut(release, module, scratch / "stage", scratch / "initramfs.img")
        for old in cache.glob(f"initramfs-{release}-*.img"):
            old.unlink(missing_ok=True)
        (scratch / "initramfs.img").replace(kept)


def dracut(release: str, module: Path, tree: Path, out: Path) -> None:
    """Make `out` of the Python `tree` with `module`, whatever this machine's dracut.conf says.

    dracut sees its own modules and ours. Raises CommandFailed with what the module found missing.
    """
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".dracut-") as name:
        scratch = Path(name)
        base = scratch / "dracut"
        shutil.copytree(DRACUT, base, symlinks=True, ignore=shutil.ignore_patterns(MODULE))
        shutil.copytree(module, base / "modules.d" / MODULE)
        (scratch / "empty").mkdir()
        # Relative names: dracut writes its command line into the image, which is to be the same.
        run(
            [
                *("dracut", "--quiet", "--force", "--kver", release, "--tmpdir", "."),
                *("--conf", "/dev/null", "--confdir", "empty", "--no-early-microcode"),
                *("--no-hostonly", "--no-hostonly-cmdline", "--reproducible"),
                *("--modules", "base udev-rules swarmstrap", "--compress", COMPRESS, "image"),
            ],
            cwd=scratch,
            env={
                "dracutbasedir": str(base.resolve()),
                "swarmstrap_stage": str(tree.resolve()),
                "swarmstrap_keys": "",
            },
            timeout=_DRACUT_SECONDS,
        )
        (scratch / "image").replace(out)


def _fingerprint(release: str, module: Path) -> str:
    """Changes with the agent, the module, and any Debian package whose files may be copied."""
    digest = hashlib.sha256(f"{release} {stage.fingerprint()}".encode())
    for file in (Path(__file__), *sorted(module.iterdir()), Path("/var/lib/dpkg/status")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def _kernel_image(release: str) -> Path:
    image, modules = Path(f"/boot/vmlinuz-{release}"), Path("/lib/modules", release)
    for path in (image, modules):
        if not path.exists():
            raise BadInput(
                f"kernel {release} is not installed: no {path}",
                hint=f"install linux-image-{release}, or name another kernel",
            )
    return image


def _by_number(release: str) -> list[tuple[int, str]]:
    return [(int(part) if part.isdigit() else -1, part) for part in re.split(r"(\d+)", release)]
