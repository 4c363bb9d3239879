# SPDX-License-Identifier: GPL-2.0-or-later
"""Something is missing: no initramfs, and one line that says what."""

import shutil
from pathlib import Path

import pytest
from tests.dracut.installer import BUILD

from swarmstrap.errors import BadInput, SwarmstrapError
from swarmstrap_server.installer import initramfs, stage
from swarmstrap_server.shipped import shipped


@pytest.fixture
def module(tmp_path: Path) -> Path:
    """A copy of the dracut module, to be spoiled."""
    return shutil.copytree(shipped(f"dracut/{initramfs.MODULE}"), tmp_path / "module")


def spoil(module: Path, old: str, new: str) -> None:
    setup = module / "module-setup.sh"
    assert old in setup.read_text()
    setup.write_text(setup.read_text().replace(old, new, 1))


def test_a_program(python_tree: Path, module: Path, tmp_path: Path) -> None:
    spoil(module, "ip dhclient", "ip mkfs.nonsense dhclient")
    with pytest.raises(SwarmstrapError, match=r"programs not found: mkfs\.nonsense; install"):
        initramfs.dracut(initramfs.newest_kernel(), module, python_tree, tmp_path / "out.img")
    assert not (tmp_path / "out.img").exists()


def test_a_driver(python_tree: Path, module: Path, tmp_path: Path) -> None:
    spoil(module, "ext4 xfs", "ext4 nonsensefs xfs")
    with pytest.raises(SwarmstrapError, match="installkernel failed in module swarmstrap"):
        initramfs.dracut(initramfs.newest_kernel(), module, python_tree, tmp_path / "out.img")
    assert not (tmp_path / "out.img").exists()


def test_the_agent(module: Path, tmp_path: Path) -> None:
    with pytest.raises(SwarmstrapError, match=r"no agent in .*; make it with: python -m"):
        initramfs.dracut(initramfs.newest_kernel(), module, tmp_path, tmp_path / "out.img")


def test_a_python_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A swarmstrap whose metadata asks for something that nobody has installed."""
    info = tmp_path / "swarmstrap-0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: swarmstrap\nVersion: 0\nRequires-Dist: nonsense>=1\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SwarmstrapError, match="the Python package nonsense is not installed"):
        stage.make(tmp_path / "tree")
    assert not (tmp_path / "tree").exists()


def test_a_kernel(tmp_path: Path) -> None:
    with pytest.raises(
        BadInput, match=r"kernel 9\.9\.9 is not installed: no /boot/vmlinuz-9\.9\.9"
    ):
        initramfs.build(
            out_dir=tmp_path,
            kernel="9.9.9",
            trusted={},
            cache=BUILD,
        )
