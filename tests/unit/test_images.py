# SPDX-License-Identifier: GPL-2.0-or-later
"""Published images: seen whole or not at all, and every change to one is noticed."""

import hashlib
import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from tests.publishing import Site
from tests.trees import needs_root

from swarmstrap.errors import BadInput, Untrusted
from swarmstrap.index import Frame, Index, decode, encode
from swarmstrap.manifest import (
    INDEX_FILE,
    MANIFEST_FILE,
    PAYLOAD_FILE,
    SIGNATURE_FILE,
    SIGNATURE_NAMESPACE,
    TORRENT_FILE,
    File,
)
from swarmstrap.units import GiB, KiB, MiB
from swarmstrap_server.images import publish as publishing
from swarmstrap_server.images.compress import compress, decompress
from swarmstrap_server.images.library import FILES, ImageStore
from swarmstrap_server.images.publish import Progress, publish
from swarmstrap_server.images.source import CaptureFailed
from swarmstrap_server.images.sources.directory import Directory
from swarmstrap_server.images.torrents import make_torrent, piece_length
from swarmstrap_server.images.verify import verify
from swarmstrap_server.images.workspace import workspace


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_publish_and_verify(site: Site) -> None:
    progress: list[Progress] = []
    source = Directory(site.source)
    published = publish(
        source, "system", "1.0", site.store, site.key, level=1, progress=progress.append
    )
    manifest = published.manifest
    assert sorted(os.listdir(published.directory)) == sorted(FILES)
    assert os.listdir(site.store.root / "system") == ["1.0"]
    assert progress[-1] == Progress(
        manifest.entries, manifest.unpacked, manifest.payload.size, manifest.unpacked
    )
    payload = published.directory / PAYLOAD_FILE
    assert hashlib.sha256(payload.read_bytes()).hexdigest() == manifest.payload.sha256
    subprocess.run(["zstd", "-q", "-t", payload], check=True)
    seen: list[tuple[int, int]] = []
    verify(site.store.get("system", "1.0"), site.signers, progress=lambda *s: seen.append(s))
    assert seen[-1] == (manifest.payload.size, manifest.payload.size)


def test_the_manifest_is_canonical_json(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    data = (site.publish(version="1") / MANIFEST_FILE).read_bytes()
    assert data == (json.dumps(json.loads(data), indent=2, sort_keys=True) + "\n").encode()
    assert json.loads(data)["created"] == "2023-11-14T22:13:20Z"


def test_versions(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1795305600")
    days = [site.publish().name for _ in range(11)]
    assert days[0] == "2026-11-22.1"
    assert site.store.latest("system").manifest.version == days[-1] == "2026-11-22.11"
    site.publish("another", "7")
    assert [image.label for image in site.store.ls()][:2] == ["another:7", "system:2026-11-22.1"]
    assert [image.label for image in site.store.ls("another")] == ["another:7"]
    site.store.rm("another", "7")
    assert site.store.ls("another") == ()
    assert not (site.store.root / "another").exists()
    with pytest.raises(BadInput, match=r"there is no image another \(images of this site: system"):
        site.store.latest("another")
    with pytest.raises(BadInput, match="there is no image system:8"):
        site.store.get("system", "8")


def test_a_version_is_published_once(site: Site) -> None:
    site.publish(version="1")
    with pytest.raises(BadInput, match="image system:1 exists already"):
        site.publish(version="1")


@pytest.mark.parametrize("name", ["", "..", "a/b", "UPPER", ".hidden", "-x", "a b", "ä", "n" * 65])
def test_names(site: Site, name: str) -> None:
    for arguments in ((name, "1"), ("system", name or " ")):
        with pytest.raises(BadInput, match="not a name for"):
            site.publish(*arguments)
    assert not site.store.root.exists()


@pytest.mark.parametrize("level", [0, 20, -5])
def test_levels(site: Site, level: int) -> None:
    with pytest.raises(BadInput, match="no compression level"):
        publish(Directory(site.source), "system", "1", site.store, site.key, level=level)


def test_an_interruption_leaves_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(publishing, "make_torrent", interrupted)
    with pytest.raises(KeyboardInterrupt):
        site.publish(version="1")
    assert not (site.store.root / "system").exists()


def killed_while_publishing(site: Site, version: str) -> None:
    """A process that publishes, and is killed when everything but the torrent is there."""
    pid = os.fork()
    if not pid:
        try:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(publishing, "make_torrent", lambda *_: os.kill(os.getpid(), 9))
                site.publish(version=version)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


def test_what_a_killed_publisher_left_is_swept(site: Site) -> None:
    killed_while_publishing(site, "1")
    [left] = (site.store.root / "system").iterdir()
    assert left.name.startswith(".1.")
    assert site.store.ls() == ()
    mine = site.store.root / "system" / ".mine"
    mine.mkdir()
    with workspace(site.store.place("system", "3")) as alive:
        site.publish(version="2")
        assert alive.exists()
    assert sorted((site.store.root / "system").iterdir()) == [mine, mine.with_name("2")]


def test_what_a_killed_remover_left_is_swept(site: Site) -> None:
    site.publish(version="1").rename(site.store.root / "system" / ".1.removed")
    site.publish(name="other", version="1")
    assert [path.name for path in site.store.root.iterdir()] == ["other"]
    site.store.rm("other", "1")
    assert list(site.store.root.iterdir()) == []


def test_a_system_that_contains_its_own_images_is_refused(site: Site) -> None:
    site.store = ImageStore(site.source / "srv/images")
    with pytest.raises(BadInput, match=r"srv/images is inside .*source: the image would contain"):
        site.publish(version="1")
    assert not (site.source / "srv").exists()


@needs_root
def test_images_on_a_filesystem_of_their_own_are_left_out(site: Site) -> None:
    (site.source / "srv").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", site.source / "srv"], check=True)
    try:
        site.store = ImageStore(site.source / "srv/images")
        site.publish(version="1")
        assert [image.label for image in site.store.ls()] == ["system:1"]
    finally:
        subprocess.run(["umount", site.source / "srv"], check=True)


def test_without_a_key_there_is_no_image(site: Site) -> None:
    site.key.path.unlink()
    with pytest.raises(BadInput, match="publisher's key"):
        site.publish(version="1")
    assert site.store.ls() == ()


def flip(name: str, place: int) -> Callable[[Path], None]:
    def change(directory: Path) -> None:
        data = bytearray((directory / name).read_bytes())
        data[place] ^= 1
        (directory / name).write_bytes(data)

    return change


def with_tracker(directory: Path) -> None:
    data = (directory / TORRENT_FILE).read_bytes()
    tracker = b"d8:announce20:http://192.0.2.66/an"
    (directory / TORRENT_FILE).write_bytes(tracker + data.removeprefix(b"d"))


def appended(directory: Path) -> None:
    with (directory / PAYLOAD_FILE).open("ab") as file:
        file.write(b"\0")


def shortened(directory: Path) -> None:
    os.truncate(directory / PAYLOAD_FILE, 1000)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (flip(MANIFEST_FILE, 20), "signature does not hold"),
        (flip(SIGNATURE_FILE, 200), "signature does not hold"),
        (flip(TORRENT_FILE, 100), "image.torrent of system:1 was changed|not a torrent"),
        (with_tracker, "image.torrent of system:1 was changed: it says more than the hashes"),
        (flip(INDEX_FILE, 50), "image.torrent of system:1 was changed"),
        (flip(PAYLOAD_FILE, 500_000), "image.torrent of system:1 was changed"),
        (flip(PAYLOAD_FILE, -1), "image.torrent of system:1 was changed"),
        (appended, "root.tar.zst of system:1 was changed: it has"),
        (shortened, "root.tar.zst of system:1 was changed: it has"),
        (lambda directory: (directory / INDEX_FILE).unlink(), "system:1 has no index.zst"),
    ],
)
def test_every_change_is_noticed(site: Site, change: Callable[[Path], None], reason: str) -> None:
    directory = site.publish(version="1")
    image = site.store.get("system", "1")
    verify(image, site.signers)
    change(directory)
    with pytest.raises(Untrusted, match=reason):
        verify(image, site.signers)


def other_digest(frame: Frame) -> Frame:
    first = msgspec.structs.replace(frame.members[0], digest=bytes(16))
    return msgspec.structs.replace(frame, members=(first, *frame.members[1:]))


def other_name(index: Index) -> Index:
    last = index.entries[-1]
    renamed = msgspec.structs.replace(last, path=last.path[:-1] + b"~")
    return msgspec.structs.replace(index, entries=(*index.entries[:-1], renamed))


def in_first(change: Callable[[Frame], Frame]) -> Callable[[Index], Index]:
    return lambda index: msgspec.structs.replace(
        index, frames=(change(index.frames[0]), *index.frames[1:])
    )


@pytest.mark.parametrize(
    ("mistake", "reason"),
    [
        (
            in_first(lambda frame: msgspec.structs.replace(frame, sha256=bytes(32))),
            "frame 0 does not have its sha256",
        ),
        (in_first(other_digest), "frame 0 has other data of 'bin/sh'"),
        (
            other_name,
            "GNU tar does not read the payload .*: entry 5 is 'etc/os-release'",
        ),
    ],
)
def test_a_mistake_of_the_publisher_is_noticed(
    site: Site, mistake: Callable[[Index], Index], reason: str
) -> None:
    directory = site.publish(version="1")
    manifest = site.store.get("system", "1").manifest
    index = decode(decompress((directory / INDEX_FILE).read_bytes()))
    data = compress(encode(mistake(index)), 1)
    (directory / INDEX_FILE).write_bytes(data)
    torrent = make_torrent(directory, "system-1")
    (directory / TORRENT_FILE).write_bytes(torrent.data)
    manifest = msgspec.structs.replace(
        manifest,
        index=File(len(data), hashlib.sha256(data).hexdigest()),
        infohash=torrent.infohash,
    )
    signed = msgspec.json.encode(manifest)
    (directory / MANIFEST_FILE).write_bytes(signed)
    (directory / SIGNATURE_FILE).write_bytes(site.key.sign(signed, SIGNATURE_NAMESPACE))
    with pytest.raises(Untrusted, match=reason):
        verify(site.store.get("system", "1"), site.signers)


def test_an_image_under_another_name(site: Site) -> None:
    site.publish(version="1").rename(site.store.root / "system/2")
    with pytest.raises(
        Untrusted, match=r"manifest\.json of system:2 was changed: it is of system:1"
    ):
        site.store.get("system", "2")


def test_an_unreadable_manifest_names_its_file(site: Site) -> None:
    directory = site.publish(version="1")
    (directory / MANIFEST_FILE).write_text("{")
    [broken] = site.store.scan().broken
    assert "images/system/1: manifest cannot be read" in broken.message
    assert site.store.ls() == ()


@pytest.mark.parametrize(
    ("payload", "length"),
    [
        (0, 64 * KiB),
        (180 * MiB, 64 * KiB),
        (500 * MiB, 64 * KiB),
        (501 * MiB, 128 * KiB),
        (2 * GiB, 512 * KiB),
        (100 * GiB, 4 * MiB),
    ],
)
def test_piece_length(payload: int, length: int) -> None:
    assert piece_length(payload) == length


@needs_root
def test_what_cannot_be_read_is_named(site: Site) -> None:
    (site.source / "secret").mkdir(mode=0)
    pid = os.fork()
    if not pid:
        status = 9
        try:
            os.chown(site.key.path, 65534, 65534)
            site.store.root.mkdir()
            site.store.root.chmod(0o777)
            for folder in (site.source, *list(site.source.parents)[:3]):
                folder.chmod(0o755)
            os.setresuid(65534, 65534, 65534)
            site.publish(version="1")
        except CaptureFailed as error:
            status = 0 if "source/secret: Permission denied (capture as root" in str(error) else 8
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert list(site.store.root.iterdir()) == []
