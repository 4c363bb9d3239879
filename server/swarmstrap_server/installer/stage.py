# SPDX-License-Identifier: GPL-2.0-or-later
"""The Python half of the initramfs: interpreter, agent and what it imports, as a small tree.

`python -m swarmstrap_server.installer.stage DIR` makes the tree that a plain
`dracut --add swarmstrap` takes.
"""

import compileall
import hashlib
import py_compile
import re
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import swarmstrap
from swarmstrap.errors import BadInput, SwarmstrapError
from swarmstrap_server.run import run

HOME = Path("opt/swarmstrap")
SITE = HOME / "site"
LAUNCHER = f"""\
#!/usr/bin/python3 -IB
# SPDX-License-Identifier: GPL-2.0-or-later
import sys

sys.path[:0] = ["/{HOME}", "/{SITE}"]
from swarmstrap.cli import main

sys.exit(main())
"""

_PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
_AGENT = Path(swarmstrap.__file__).parent
_UNWANTED = frozenset({"__pycache__", "test", "tests"})
# Of the standard library: what needs a screen, a compiler or a package index, and databases.
_UNWANTED_STDLIB = frozenset(
    """
    __pycache__ test tests config-* curses dbm dist-packages distutils ensurepip idlelib lib2to3
    pydoc_data site-packages sitecustomize.py sqlite3 tkinter turtle.py turtledemo venv wsgiref
    xmlrpc _codecs_* _ctypes_test* _curses* _dbm* _sqlite3* _test* _tkinter* _xx* audioop* nis.*
    ossaudiodev* readline* xx* LICENSE.txt
    """.split()
)
_UNWANTED_SUFFIXES = frozenset({".a", ".c", ".h", ".pxd", ".pyi", ".pyx"})


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: python -m swarmstrap_server.installer.stage DIR")
    try:
        make(Path(sys.argv[1]))
    except SwarmstrapError as error:
        sys.exit(f"swarmstrap: {error}")


def fingerprint() -> str:
    """Changes with anything that changes the tree."""
    digest = hashlib.sha256(sys.version.encode())
    digest.update(Path(__file__).read_bytes())
    for distribution in dependencies():
        digest.update(f"{distribution.name} {distribution.version}\n".encode())
    for source in sorted(_AGENT.rglob("*")):
        if source.is_file() and not _UNWANTED.intersection(source.parts):
            digest.update(f"{source.relative_to(_AGENT)}\n".encode())
            digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def make(tree: Path) -> None:
    """Write the tree to `tree`, which appears only when it is whole."""
    if sys.base_prefix != "/usr":
        raise BadInput(
            f"the initramfs carries the distribution's Python, not that of {sys.base_prefix}",
            hint="run swarmstrap from a virtual environment made by /usr/bin/python3",
        )
    tree.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=tree.parent, prefix=".stage-") as scratch:
        root = Path(scratch) / "root"
        _copy_interpreter(root)
        for distribution in dependencies():
            _copy_distribution(distribution, root / SITE)
        unwanted = shutil.ignore_patterns(*_UNWANTED)
        shutil.copytree(_AGENT, root / HOME / _AGENT.name, ignore=unwanted)
        _strip(root)
        _compile(root)
        launcher = root / "usr/bin/swarmstrap-agent"
        launcher.write_text(LAUNCHER)
        launcher.chmod(0o755)
        if tree.exists():
            shutil.rmtree(tree)
        root.rename(tree)


def dependencies() -> list[metadata.Distribution]:
    """What the agent's requirements need, and what those need, by name; no extras."""
    found: dict[str, metadata.Distribution] = {}
    wanted = [("swarmstrap", "")]
    while wanted:
        name, marker = wanted.pop()
        if name in found:
            continue
        try:
            found[name] = metadata.distribution(name)
        except metadata.PackageNotFoundError as error:
            if marker:  # the installer has judged it: what it left out is for other machines
                continue
            raise SwarmstrapError(
                f"the Python package {name} is not installed beside {sys.executable}",
                hint="install swarmstrap with pip: it brings its dependencies",
            ) from error
        wanted += requirements(found[name])
    del found["swarmstrap"]
    return [found[name] for name in sorted(found)]


def files(distribution: metadata.Distribution) -> Iterator[Path]:
    """The code of an installed distribution: its RECORD, or for old installers its top level."""
    place = Path(str(distribution.locate_file("")))
    if distribution.read_text("RECORD"):
        listed = [place / file for file in distribution.files or () if ".." not in file.parts]
    else:
        names = (distribution.read_text("top_level.txt") or "").split()
        tops = [top for name in names for top in (place / name, *place.glob(f"{name}.*"))]
        listed = [file for top in tops for file in (top, *top.rglob("*")) if file.is_file()]
    for file in listed:
        parts = file.relative_to(place).parts
        metadata_file = parts[0].endswith((".dist-info", ".egg-info"))
        unwanted = _UNWANTED.intersection(parts) or file.suffix in _UNWANTED_SUFFIXES
        if not metadata_file and not unwanted:
            yield file


def requirements(distribution: metadata.Distribution) -> Iterator[tuple[str, str]]:
    """Normalised name and environment marker ("" for none) of what it needs without extras."""
    for requirement in distribution.requires or ():
        specifier, _, marker = requirement.partition(";")
        name = re.match(r"[\w.-]+", specifier)
        if name and "extra" not in marker:
            yield re.sub(r"[-_.]+", "-", name[0]).lower(), marker.strip()


def _copy_interpreter(root: Path) -> None:
    binaries = root / "usr/bin"
    binaries.mkdir(parents=True)
    shutil.copy2(Path(sys.base_prefix, "bin", _PYTHON), binaries)
    (binaries / "python3").symlink_to(_PYTHON)
    shutil.copytree(
        sysconfig.get_path("stdlib"),
        root / "usr/lib" / _PYTHON,
        ignore=shutil.ignore_patterns(*_UNWANTED_STDLIB),
        symlinks=True,
    )


def _copy_distribution(distribution: metadata.Distribution, site: Path) -> None:
    for source in files(distribution):
        relative = source.relative_to(Path(str(distribution.locate_file(""))))
        target = site / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)


def _strip(root: Path) -> None:
    """Wheels carry symbol tables: half of the tree's size. dracut looks for executables only."""
    libraries = sorted(path for path in root.rglob("*.so*") if not path.is_symlink())
    for library in libraries:
        library.chmod(0o755)
    run(["strip", "--strip-unneeded", *libraries], timeout=120)


def _compile(root: Path) -> None:
    """Byte code beside no source: nothing to compare, nothing to compile, on the node."""
    done = compileall.compile_dir(
        root,
        maxlevels=20,
        quiet=2,
        legacy=True,
        stripdir=str(root),
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        workers=0,
    )
    if not done:
        raise SwarmstrapError(
            "Python code for the initramfs does not compile",
            hint=f"python3 -m compileall {_AGENT} shows where",
        )
    for source in root.rglob("*.py"):
        source.unlink()


if __name__ == "__main__":
    main()
