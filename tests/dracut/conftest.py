# SPDX-License-Identifier: GPL-2.0-or-later
"""One initramfs for all tests of this tier, kept in build/; made anew when its content changes."""

import os
import shutil
from pathlib import Path

import pytest
from tests.dracut.installer import BUILD, Installer, add_to_default, unpack, write_keys

from swarmstrap_server.installer import initramfs, stage


@pytest.fixture(scope="session")
def installer(tmp_path_factory: pytest.TempPathFactory) -> Installer:
    if os.geteuid() != 0:
        pytest.skip("dracut and chroot need root")
    scratch = tmp_path_factory.mktemp("installer")
    keys = write_keys(scratch / "keys")
    release = initramfs.newest_kernel()
    generic = Path(shutil.copyfile(initramfs.generic(release, BUILD), scratch / "generic.img"))
    built = initramfs.build(
        out_dir=scratch,
        kernel=release,
        trusted={f"/etc/swarmstrap/{key.name}": key.read_bytes() for key in keys.iterdir()},
        cache=BUILD,
    )
    return Installer(built, generic, unpack(generic, scratch / "tree"))


@pytest.fixture(scope="session")
def python_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = tmp_path_factory.mktemp("stage") / "tree"
    stage.make(tree)
    return tree


@pytest.fixture(scope="session")
def default_image(python_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `dracut --add swarmstrap` makes with the distribution's configuration."""
    scratch = tmp_path_factory.mktemp("default")
    return add_to_default(python_tree, write_keys(scratch / "keys"), scratch / "default.img")
