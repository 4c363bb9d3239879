# SPDX-License-Identifier: GPL-2.0-or-later
"""The initramfs that the tests of this tier look into, boot and take apart."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from swarmstrap_server.installer import initramfs
from swarmstrap_server.run import run
from swarmstrap_server.shipped import shipped

BUILD = Path("build/demo/site/boot/cache").resolve()  # where the demonstration has it already
SYSTEMD = Path("/usr/lib/systemd/systemd")
CA_CERTIFICATE = b"a certificate\n"
ALLOWED_SIGNERS = b"publisher ssh-ed25519 AAAA\n"


@dataclass(frozen=True)
class Installer:
    """The built files, the part without keys, and that part unpacked below `tree`."""

    built: initramfs.Built
    generic: Path
    tree: Path

    @property
    def modules(self) -> Path:
        return self.tree / "usr/lib/modules" / self.built.release


def unpack(image: Path, tree: Path) -> Path:
    """Unpack a zstd-compressed cpio archive into a new folder `tree`."""
    tree.mkdir()
    plain = subprocess.run(["zstd", "-dc", image], check=True, stdout=subprocess.PIPE).stdout
    subprocess.run(["cpio", "-idm", "--quiet"], input=plain, cwd=tree, check=True)
    return tree


def write_keys(folder: Path) -> Path:
    """What a site's keys folder has of interest here."""
    folder.mkdir()
    (folder / "ca.crt").write_bytes(CA_CERTIFICATE)
    (folder / "allowed_signers").write_bytes(ALLOWED_SIGNERS)
    return folder


def add_to_default(python_tree: Path, keys: Path, image: Path) -> Path:
    """`dracut --add swarmstrap` as on a machine where the module is installed.

    Only the compression is ours: dracut's choice takes a minute and matters to no test.
    """
    base = image.with_suffix(".dracut")
    shutil.copytree(initramfs.DRACUT, base, symlinks=True)
    shutil.copytree(
        shipped(f"dracut/{initramfs.MODULE}"),
        base / "modules.d" / initramfs.MODULE,
        dirs_exist_ok=True,
    )
    release = initramfs.newest_kernel()
    command = ["dracut", "--quiet", "--force", "--add", "swarmstrap", "--kver", release]
    run(
        [*command, "--compress", "zstd -3 -T0 -q", image],
        env={
            "dracutbasedir": str(base),
            "swarmstrap_stage": str(python_tree),
            "swarmstrap_keys": str(keys),
        },
        timeout=600,
    )
    return image


def names_in(image: Path) -> set[str]:
    """Paths as lsinitrd shows them."""
    listing = run(["lsinitrd", image], timeout=300).stdout.splitlines()
    return {words[8] for line in listing if len(words := line.split()) > 8}
