# SPDX-License-Identifier: GPL-2.0-or-later
"""What an update moves, beside a full deployment and beside rsync.

A node has the demo's Debian (the tree of the image, applied); then the image changes. Every way
begins with a copy of what the node has. Swarmstrap fetches from a seeder over the loopback, as a
node does; rsync is `rsync -aHAX --numeric-ids --delete`, with and without `-z`, from a daemon over
the loopback, and its figure is what `--stats` calls bytes received. Needs root.

    python -m tests.bench.update

A new kernel is another version of Debian's package, downloaded by apt and installed in the tree.
"""

import asyncio
import json
import random
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.applying import applied
from tests.comparing import differences
from tests.swarm.peers import Peer, tracker

from swarmstrap.command import PATH
from swarmstrap.effects.images.unpack import Writers
from swarmstrap.effects.images.updating import ExistingTree, Terms
from swarmstrap.effects.transfer import fetch
from swarmstrap.effects.transfer.swarm import Swarm, load
from swarmstrap.manifest import TORRENT_FILE
from swarmstrap.preserving import Rules
from swarmstrap.reporter import Reporter
from swarmstrap_server.images.facts import natural
from swarmstrap_server.images.library import Image, ImageStore
from swarmstrap_server.images.publish import Published, publish
from swarmstrap_server.images.signing import Key
from swarmstrap_server.images.sources.directory import Directory
from swarmstrap_server.lab import demo

DEMO = Path("build/demo")
OUT = Path("build/bench/update.json")
_SEEDER, _NODE = "127.0.0.10", "127.0.0.31"
_PORT = 18730
_RECEIVED = re.compile(r"^Total bytes received: ([\d,]+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Row:
    """Bytes over the network and seconds of wall clock; `files` are those that changed."""

    change: str
    files: int
    full_bytes: int
    update_bytes: int
    update_seconds: float
    rsync_bytes: int
    rsync_seconds: float
    rsync_z_bytes: int


def nothing(root: Path) -> int:
    return 0


def one_percent(root: Path) -> int:
    """A block in the middle of every hundredth file, drawn by chance."""
    files = sorted(path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    chosen = random.Random(1).sample(files, len(files) // 100)
    for path in chosen:
        with path.open("r+b") as file:
            file.seek(path.stat().st_size // 2)
            file.write(b"changed")
    return len(chosen)


def new_kernel(root: Path) -> int:
    """Another version of the kernel's package takes the installed one's place, by the tree's own
    dpkg, which has initramfs-tools make the initrd.
    """
    (modules,) = (root / "usr/lib/modules").iterdir()
    installed = f"linux-image-{modules.name}"
    names = subprocess.run(
        ["apt-cache", "pkgnames", "linux-image-"], stdout=subprocess.PIPE, text=True, check=True
    ).stdout.split()
    alike = re.compile(re.sub(r"-\d+-", r"-\\d+-", installed))
    other = max((n for n in names if alike.fullmatch(n) and n != installed), key=natural)
    with tempfile.TemporaryDirectory(dir=root / "root") as folder:
        subprocess.run(["apt-get", "-q", "download", other], cwd=folder, check=True)
        package = f"/root/{Path(folder).name}/*.deb"
        subprocess.run(["mount", "-t", "proc", "proc", root / "proc"], check=True)
        try:
            for command in (f"-i {package}", f"--purge {installed}"):
                shell = f"exec dpkg --force-depends {command}"
                environment = {"PATH": PATH, "DEBIAN_FRONTEND": "noninteractive"}
                subprocess.run(["chroot", root, "sh", "-c", shell], env=environment, check=True)
        finally:
            subprocess.run(["umount", root / "proc"], check=True)
    version = other.removeprefix("linux-image-")
    places = (root / "usr/lib/modules" / version, root / "boot")
    return sum(path.is_file() for place in places for path in place.rglob("*"))


CHANGES: dict[str, Callable[[Path], int]] = {
    "nothing": nothing,
    "1 % of the files": one_percent,
    "a new kernel": new_kernel,
}


def bench(image: Image, place: Path, say: Callable[[str], None]) -> list[Row]:
    installed = place / "installed"
    installed.mkdir()
    asyncio.run(applied(image.directory, image.manifest, installed))
    key = Key.generate(place / "publisher")
    rows = []
    for number, (name, change) in enumerate(CHANGES.items()):
        source = copied(installed, place / "source")
        files = change(source)
        store = ImageStore(place / "images")
        new = publish(Directory(source), "debian", str(number), store, key, strip=())
        say(f"update, {name}: captured")
        updated = copied(installed, place / "updated")
        began = time.monotonic()
        moved = asyncio.run(update(new, updated))
        seconds = time.monotonic() - began
        check(source, updated)
        synced = copied(installed, place / "synced")
        began = time.monotonic()
        received = rsync(source, synced)
        synced_seconds = time.monotonic() - began
        compressed = rsync(source, copied(installed, place / "again"), "-z")
        rows.append(
            Row(
                change=name,
                files=files,
                full_bytes=new.manifest.payload.size + new.manifest.index.size,
                update_bytes=moved,
                update_seconds=round(seconds, 1),
                rsync_bytes=received,
                rsync_seconds=round(synced_seconds, 1),
                rsync_z_bytes=compressed,
            )
        )
        say(f"update, {name}: {moved} bytes, rsync {received}")
        for folder in (source, updated, synced, place / "again"):
            shutil.rmtree(folder)
    return rows


def copied(tree: Path, place: Path) -> Path:
    subprocess.run(["cp", "-a", "--reflink=auto", tree, place], check=True)
    return place


def check(source: Path, updated: Path) -> None:
    found = differences(source, updated)
    if found:
        raise AssertionError(f"the updated tree is not the image: {found[:5]}")


async def update(image: Published, root: Path) -> int:
    """As a node does it; the bytes that came."""
    torrent = load((image.directory / TORRENT_FILE).read_bytes(), image.manifest.infohash)
    writers = Writers.start(fetch.writer_count(0))
    tree = ExistingTree(root, Terms(Rules.nothing()), lambda _: None, lambda: None)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        seed, staging = Path(folder) / "seed", Path(folder) / "staging"
        seed.mkdir()
        staging.mkdir()
        (seed / torrent.name).symlink_to(image.directory.resolve())
        async with tracker() as site:
            seeder = Peer(torrent.data, seed, _SEEDER, site.url)
            swarm = Swarm(
                torrent, staging, trackers=(site.url,), address=_NODE, everything=tree.everything
            )
            async with swarm:
                await fetch.fetch(
                    swarm,
                    writers,
                    torrent,
                    image.manifest,
                    staging=staging,
                    destination=tree,
                    report=Reporter(),
                )
                moved = swarm.received.total
            seeder.session.pause()
    await writers.stop()
    tree.describe()
    tree.tidy()
    return moved


def rsync(source: Path, target: Path, *options: str) -> int:
    with daemon(source) as url:
        command = ["rsync", "-aHAX", "--numeric-ids", "--delete", "--stats", *options]
        command += [url, f"{target}/"]
        ran = subprocess.run(command, capture_output=True, text=True, check=True)
    found = _RECEIVED.search(ran.stdout)
    if found is None:
        raise AssertionError(f"rsync says no bytes: {ran.stdout}")
    return int(found[1].replace(",", ""))


@contextmanager
def daemon(source: Path) -> Iterator[str]:
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as settings:
        settings.write(f"[tree]\npath = {source.resolve()}\nuid = 0\ngid = 0\nread only = yes\n")
        settings.write("use chroot = no\n")
        settings.flush()
        command = ["rsync", "--daemon", "--no-detach", f"--port={_PORT}", "--address=127.0.0.1"]
        with subprocess.Popen([*command, f"--config={settings.name}"]) as process:
            try:
                answers(process)
                yield f"rsync://127.0.0.1:{_PORT}/tree/"
            finally:
                process.terminate()


def answers(process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 10
    command = ["rsync", f"rsync://127.0.0.1:{_PORT}/"]
    while subprocess.run(command, capture_output=True, check=False).returncode:
        if process.poll() is not None or time.monotonic() > deadline:
            raise AssertionError("the rsync daemon does not answer")
        time.sleep(0.1)


def table(rows: Sequence[Row]) -> Iterator[str]:
    yield "| change | files | full, MB | update, MB | rsync, MB | with -z | update, s | rsync, s |"
    yield "|---|---|---|---|---|---|---|---|"
    for row in rows:
        bytes_ = (row.full_bytes, row.update_bytes, row.rsync_bytes, row.rsync_z_bytes)
        sizes = (f"{count / 1e6:.1f}" for count in bytes_)
        yield (
            f"| {row.change} | {row.files} | {' | '.join(sizes)} | {row.update_seconds} | "
            f"{row.rsync_seconds} |"
        )


def write(rows: Sequence[Row]) -> None:
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")


def measured(say: Callable[[str], None]) -> list[Row]:
    store = ImageStore(DEMO / "site" / "images")
    if not store.ls(demo.IMAGE):
        demo.prepare(DEMO)
    work = Path("build/bench/work")
    work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=work) as folder:
        rows = bench(store.latest(demo.IMAGE), Path(folder), say)
    write(rows)
    return rows


if __name__ == "__main__":
    print("\n".join(table(measured(print))))
