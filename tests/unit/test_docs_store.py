# SPDX-License-Identifier: GPL-2.0-or-later
"""What the pages about store and trust say to type, works as it stands there."""

import argparse
import re
import subprocess
from pathlib import Path

from tests.publishing import Site

from swarmstrap_server.commands import images, keys
from swarmstrap_server.installer import baked

DOCS = Path(__file__).parents[2] / "docs"
STORE, TRUST = ((DOCS / f"{page}.md").read_text() for page in ("store", "trust"))


def actions(module: str, text: str) -> set[str]:
    """The words that come after `module` in code."""
    return set(re.findall(rf"(?:`|swarmstrap ){module} ([a-z]+)", text))


def test_every_command_is_explained() -> None:
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers()
    images.add_commands(commands)
    keys.add_commands(commands)
    for name, text in (("image", STORE), ("key", TRUST)):
        usage = commands.choices[name].format_help()
        known = set(re.findall(r"^    ([a-z]+)", usage, re.MULTILINE))
        assert actions(name, text) == known


def test_openssh_verifies_a_manifest_by_the_line_that_is_shown(tmp_path: Path) -> None:
    site = Site(tmp_path)
    folder = site.publish(version="1")
    (tmp_path / "keys").mkdir()
    site.signers.allowed.rename(tmp_path / "keys/allowed_signers")
    [line] = re.findall(r"^    (ssh-keygen .*)$", TRUST, re.MULTILINE)
    [more] = re.findall(r"With `(-r \S+)`", TRUST)
    (tmp_path / "keys/revoked_keys").touch()
    for command in (line, line.replace(" -s ", f" {more} -s ")):
        ended = subprocess.run(["sh", "-c", command], cwd=folder, stdout=subprocess.PIPE, text=True)
        assert ended.returncode == 0
        assert 'Good "swarmstrap-image" signature for publisher' in ended.stdout
    (tmp_path / "keys/revoked_keys").write_text(Path(f"{site.key.path}.pub").read_text())
    revoked = line.replace(" -s ", f" {more} -s ")
    assert subprocess.run(["sh", "-c", revoked], cwd=folder, check=False).returncode != 0


def test_everything_that_is_baked_is_named() -> None:
    table = TRUST[TRUST.index("| in the initramfs") :].partition("\n\n")[0]
    named = {row.split("`")[1] for row in table.splitlines()[2:]}
    paths = (baked.CA_CERTIFICATE, baked.ALLOWED_SIGNERS, baked.REVOKED_KEYS, baked.FLOORS)
    assert {f"/etc/swarmstrap/{name}" for name in named} == set(paths)
