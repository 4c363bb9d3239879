# SPDX-License-Identifier: GPL-2.0-or-later
"""`dracut --add swarmstrap` with the distribution's own configuration, systemd included."""

from pathlib import Path

import pytest
from tests.dracut.installer import SYSTEMD, add_to_default, names_in, write_keys

from swarmstrap.command import CommandFailed


def test_hooks_agent_and_keys_are_there(default_image: Path) -> None:
    names = names_in(default_image)
    assert ("usr/lib/systemd/systemd" in names) == SYSTEMD.exists()
    assert "usr/lib/dracut/hooks/cmdline/20-swarmstrap-root.sh" in names
    assert "usr/lib/dracut/hooks/pre-mount/00-swarmstrap-boot.sh" in names
    assert "usr/bin/swarmstrap-agent" in names
    assert "opt/swarmstrap/swarmstrap/__init__.pyc" in names
    assert {"etc/swarmstrap/ca.crt", "etc/swarmstrap/allowed_signers"} <= names


@pytest.mark.parametrize("missing", ["ca.crt", "allowed_signers"])
def test_no_keys_no_initramfs(python_tree: Path, tmp_path: Path, missing: str) -> None:
    keys = write_keys(tmp_path / "keys")
    (keys / missing).unlink()
    with pytest.raises(CommandFailed, match=rf"no {keys}/{missing}; copy it from the site's keys"):
        add_to_default(python_tree, keys, tmp_path / "out.img")
    assert not (tmp_path / "out.img").exists()
