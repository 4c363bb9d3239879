# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules about the tree itself, for every file that git knows."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LICENCE = "SPDX-License-Identifier: GPL-2.0-or-later"
# Pages, and files that have no comments or are compared as a whole.
WITHOUT_LICENCE_LINE = re.compile(
    r"\.gitignore|.*\.(json|md)|tests/(?:plans|inventories|fuzz/corpus)/.*|tests/.*_cases/.*"
    r"|tests/unit/layout_(?:explained|imports)/.*"
)
MOST_LINES = 400
# Packages come from where the machine's administrator says: pip.conf, sources.list.
_HOSTS = re.compile(
    r"//(?:[a-z0-9-]+\.)*(?:pypi\.org|pythonhosted\.org|debian\.org|ubuntu\.com|docker\.io|ghcr\.io)"
)
_UNFINISHED = re.compile(r"\b(?:TODO|FIXME|XXX|HACK)\b")


def tracked() -> list[str]:
    command = ["git", "ls-files", "-z"]
    listed = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def text(name: str) -> str:
    return (ROOT / name).read_text(errors="surrogateescape")


@pytest.fixture(scope="module")
def sources() -> list[str]:
    found = [name for name in tracked() if not name.endswith((".png", ".svg", "LICENSE"))]
    assert len(found) > 200
    return found


def test_every_source_names_its_licence_at_the_top(sources: list[str]) -> None:
    ours = [name for name in sources if not WITHOUT_LICENCE_LINE.fullmatch(name)]
    without = [name for name in ours if LICENCE not in "".join(text(name).splitlines(True)[:2])]
    assert without == []


def test_no_module_is_too_long(sources: list[str]) -> None:
    modules = [name for name in sources if name.endswith((".py", ".sh"))]
    assert [name for name in modules if text(name).count("\n") > MOST_LINES] == []


def test_nothing_is_left_for_later(sources: list[str]) -> None:
    others = [name for name in sources if name != str(Path(__file__).relative_to(ROOT))]
    assert [name for name in others if _UNFINISHED.search(text(name))] == []


def test_no_host_of_a_package_archive(sources: list[str]) -> None:
    assert [name for name in sources if _HOSTS.search(text(name))] == []
