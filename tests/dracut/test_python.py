# SPDX-License-Identifier: GPL-2.0-or-later
"""The initramfs's own Python imports the whole agent, and the agent imports what is declared."""

import ast
import json
import sys
from importlib import metadata
from pathlib import Path

from tests.dracut.installer import Installer

import swarmstrap
from swarmstrap_server.installer import stage
from swarmstrap_server.run import run

AGENT = Path(swarmstrap.__file__).parent

IMPORT_ALL = f"""
import ctypes, importlib, json, pkgutil, pwd, sys
sys.path[:0] = ["/{stage.HOME}", "/{stage.SITE}"]
import swarmstrap
found = pkgutil.walk_packages(swarmstrap.__path__, "swarmstrap.")
names = [m.name for m in found if m.name != "swarmstrap.__main__"]
for name in [*names, *sys.argv[1:]]:
    importlib.import_module(name)
ctypes.CDLL("libudev.so.1")
assert pwd.getpwuid(0).pw_name == "root"
outside = [m.__file__ for m in sys.modules.values() if getattr(m, "__file__", None)]
print(json.dumps([names, outside]))
"""


def agent_modules() -> set[str]:
    sources = {path.relative_to(AGENT.parent).with_suffix("") for path in AGENT.rglob("*.py")}
    names = {".".join(source.parts).removesuffix(".__init__") for source in sources}
    return names - {"swarmstrap", "swarmstrap.__main__"}


def top_names(distribution: metadata.Distribution) -> set[str]:
    place = Path(str(distribution.locate_file("")))
    tops = {file.relative_to(place).parts[0] for file in stage.files(distribution)}
    return {top.partition(".")[0] for top in tops}


def test_every_agent_module_and_dependency_imports_inside(installer: Installer) -> None:
    wanted = sorted(top for each in stage.dependencies() for top in top_names(each))
    assert {"aiohttp", "libtorrent", "msgspec", "parted", "pyudev", "zstandard"} <= set(wanted)
    command = [
        "chroot",
        str(installer.tree),
        "/usr/bin/python3",
        "-I",
        "-B",
        "-c",
        IMPORT_ALL,
        *wanted,
    ]
    done = run(command, timeout=300)
    names, files = json.loads(done.stdout)
    assert set(names) == agent_modules()
    assert not [file for file in files if not file.startswith(("/usr/lib/python3", "/opt/"))]


def test_agent_imports_only_the_standard_library_and_its_dependencies() -> None:
    declared = [name for name, _ in stage.requirements(metadata.distribution("swarmstrap"))]
    allowed = {"swarmstrap", *sys.stdlib_module_names}
    for name in declared:
        allowed |= top_names(metadata.distribution(name))
    strangers = {
        f"{source.relative_to(AGENT)}: {name}"
        for source in AGENT.rglob("*.py")
        for name in imported(source)
        if name not in allowed
    }
    assert not strangers


def imported(source: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(source.read_bytes())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return names
