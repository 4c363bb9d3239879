# SPDX-License-Identifier: GPL-2.0-or-later
"""Container images: the layers as one tree, and every digest checked."""

import gzip
import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.trees import ELF_X86_64, nasty_system, needs_root, scratch

from swarmstrap.errors import BadInput, SwarmstrapError
from swarmstrap.index import Entry
from swarmstrap.manifest import PAYLOAD_FILE
from swarmstrap_server.images.library import ImageStore
from swarmstrap_server.images.publish import Published, publish
from swarmstrap_server.images.signing import Key
from swarmstrap_server.images.source import CaptureFailed, Source
from swarmstrap_server.images.sources.choose import Room, Wishes, chosen
from swarmstrap_server.images.sources.directory import Directory
from swarmstrap_server.images.walk import Walk

Member = tuple[str, bytes | str | None]
NAME = "org.opencontainers.image.ref.name"
LAYER = "application/vnd.oci.image.layer.v1.tar"
CONFIG = "application/vnd.oci.image.config.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"


def layer(*members: Member) -> bytes:
    """A tar of files (bytes), directories (None) and hard links (the target's path)."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as writer:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if content is None:
                info.type, info.mode = tarfile.DIRTYPE, 0o755
            elif isinstance(content, str):
                info.type, info.linkname = tarfile.LNKTYPE, content
            else:
                info.size = len(content)
            writer.addfile(info, io.BytesIO(content) if isinstance(content, bytes) else None)
    return archive.getvalue()


@dataclass
class Layout:
    """An OCI layout that is being written."""

    root: Path
    manifests: list[dict[str, object]] = field(default_factory=list)

    def blob(self, data: bytes) -> dict[str, object]:
        digest = hashlib.sha256(data).hexdigest()
        place = self.root / "blobs/sha256" / digest
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        return {"digest": f"sha256:{digest}", "size": len(data), "mediaType": LAYER}

    def image(
        self,
        tars: Sequence[bytes],
        *,
        pack: Callable[[bytes], bytes] = gzip.compress,
        architecture: str = "amd64",
    ) -> dict[str, object]:
        diffs = [f"sha256:{hashlib.sha256(tar).hexdigest()}" for tar in tars]
        config = {
            "architecture": architecture,
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": diffs},
        }
        manifest = {
            "schemaVersion": 2,
            "config": self.blob(json.dumps(config).encode()) | {"mediaType": CONFIG},
            "layers": [self.blob(pack(tar)) for tar in tars],
        }
        described = self.blob(json.dumps(manifest).encode()) | {"mediaType": MANIFEST}
        return described | {"platform": {"architecture": architecture, "os": "linux"}}

    def write(self, *manifests: dict[str, object]) -> Path:
        (self.root / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        (self.root / "index.json").write_text(json.dumps({"manifests": list(manifests)}))
        return self.root


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    (tmp_path / "layout").mkdir()
    return Layout(tmp_path / "layout")


def capture(path: Path, wishes: Wishes | None = None) -> dict[str, tuple[str, bytes]]:
    """Kind and data of every path of the tree."""
    room = Room(unpacking=path.parent, mirrors=path.parent)
    found: dict[str, tuple[str, bytes]] = {}
    with chosen(str(path), wishes or Wishes(), room, lambda *_: None) as (source, _):
        for entry in Walk(source, ()):
            found[os.fsdecode(entry.path)] = entry.kind, data_of(source, entry)
    return found


def data_of(source: Source, entry: Entry) -> bytes:
    if not entry.size:
        return entry.target
    with source.open(entry) as data:
        return data.pread(entry.size, 0)


BASE = layer(
    ("etc/", None), ("etc/a", b"a"), ("etc/b", b"b"), ("lib/", None), ("lib/x", b"x"),
    ("old/", None), ("old/1", b"1"), ("old/deep/2", b"2"), ("turns", b"file"), ("dir/in", b"in"),
)  # fmt: skip
NEXT = layer(
    ("etc/", None), ("etc/.wh.a", b""), ("etc/b", b"newer"), ("etc/c", "lib/x"),
    ("old/new", b"new"), ("old/.wh..wh..opq", b""), (".wh..wh.plnk/1.2", b""),
    ("turns/", None), ("turns/now", b"d"), ("dir", b"file"), (".wh.missing", b""),
)  # fmt: skip
MERGED = {
    ".": ("d", b""),
    "dir": ("f", b"file"),
    "etc": ("d", b""),
    "etc/b": ("f", b"newer"),
    "etc/c": ("f", b"x"),
    "lib": ("d", b""),
    "lib/x": ("h", b"etc/c"),
    "old": ("d", b""),
    "old/new": ("f", b"new"),
    "turns": ("d", b""),
    "turns/now": ("f", b"d"),
}


def zstd(data: bytes) -> bytes:
    return subprocess.run(["zstd", "-qc"], input=data, check=True, stdout=subprocess.PIPE).stdout


@pytest.mark.parametrize("pack", [gzip.compress, zstd, bytes], ids=["gzip", "zstd", "none"])
def test_layers(layout: Layout, pack: Callable[[bytes], bytes]) -> None:
    path = layout.write(layout.image([BASE, NEXT], pack=pack))
    assert capture(path) == MERGED
    assert os.listdir(path.parent) == ["layout"]


def packed_up(root: Path) -> Path:
    archive = root.parent / "archive.tar"
    subprocess.run(["tar", "-C", root, "-cf", archive, *sorted(os.listdir(root))], check=True)
    return archive


def test_a_layout_in_a_tar(layout: Layout) -> None:
    assert capture(packed_up(layout.write(layout.image([BASE, NEXT])))) == MERGED


@pytest.mark.parametrize("links", [False, True], ids=["files", "links"])
def test_docker_save(tmp_path: Path, links: bool) -> None:
    saved = tmp_path / "saved"
    tars = (BASE, layer(("etc/.wh.a", b""), ("etc/b", b"2"), ("etc/c", b"c")), BASE)
    diffs = [f"sha256:{hashlib.sha256(tar).hexdigest()}" for tar in tars]
    config = json.dumps({"architecture": "amd64", "rootfs": {"diff_ids": diffs}}).encode()
    digest = hashlib.sha256(config).hexdigest()
    for number, data in enumerate(tars):
        (saved / str(number)).mkdir(parents=True)
        (saved / str(number) / "layer.tar").write_bytes(data)
    if links:  # Docker has written a layer that comes twice as a link
        (saved / "2/layer.tar").unlink()
        (saved / "2/layer.tar").symlink_to("../0/layer.tar")
    (saved / f"{digest}.json").write_bytes(config)
    names = [f"{number}/layer.tar" for number in range(3)]
    page = {"Config": f"{digest}.json", "RepoTags": ["debian:12"], "Layers": names}
    (saved / "manifest.json").write_text(json.dumps([page]))
    found = capture(packed_up(saved))
    assert found["etc/a"] == ("f", b"a")
    assert found["etc/b"] == ("f", b"b")
    assert found["etc/c"] == ("f", b"c")
    with pytest.raises(BadInput, match=r"has not one image that is 13 \(say --tag: debian:12\)"):
        capture(saved, Wishes(tag="13"))
    assert capture(saved, Wishes(tag="12")) == found
    (saved / f"{digest}.json").write_bytes(config + b" ")
    with pytest.raises(CaptureFailed, match="does not have its sha256"):
        capture(saved)


def test_one_of_several(layout: Layout) -> None:
    def named(name: str, *, architecture: str = "amd64") -> dict[str, object]:
        made = layout.image([layer((name, b""))], architecture=architecture)
        return made | {"annotations": {NAME: name}}

    layout.write(named("one"), named("example/two:2"))
    with pytest.raises(BadInput, match=r"has 2 images \(say --tag: example/two:2, one\)"):
        capture(layout.root)
    assert "one" in capture(layout.root, Wishes(tag="one"))
    assert "example/two:2" in capture(layout.root, Wishes(tag="2"))


def test_one_of_several_platforms(layout: Layout) -> None:
    made = [
        layout.image([layer((name, b""))], architecture=name)
        for name in ("amd64", "arm64", "s390x")
    ]
    attached = made[0] | {"annotations": {"vnd.docker.reference.type": "attestation-manifest"}}
    index = layout.blob(json.dumps({"manifests": [*made, attached]}).encode())
    layout.write(index | {"mediaType": INDEX, "annotations": {NAME: "12"}})
    here = {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]
    assert here in capture(layout.root)
    assert "s390x" in capture(layout.root, Wishes(platform="linux/s390x", tag="12"))
    assert "arm64" in capture(layout.root, Wishes(platform="aarch64"))
    with pytest.raises(BadInput, match=r"linux/riscv64 \(say --platform: linux/amd64, linux/arm64"):
        capture(layout.root, Wishes(platform="riscv64"))
    with pytest.raises(BadInput, match="not a platform"):
        capture(layout.root, Wishes(platform="a/b/c/d"))


def blobs(root: Path) -> list[Path]:
    """Largest first: layers come before pages."""
    return sorted((root / "blobs/sha256").iterdir(), key=lambda path: -path.stat().st_size)


def changed(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def with_a_trailer(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0" * 10)


@pytest.mark.parametrize("spoil", [changed, with_a_trailer, Path.unlink])
@pytest.mark.parametrize("blob", range(3))
def test_every_change_is_noticed(layout: Layout, blob: int, spoil: Callable[[Path], None]) -> None:
    path = layout.write(layout.image([BASE], pack=bytes))
    spoil(blobs(path)[blob])
    with pytest.raises(CaptureFailed, match=r"sha256|is missing|it has no blobs") as caught:
        capture(path)
    assert "\n" not in str(caught.value)


def test_another_tar_under_a_right_digest(layout: Layout) -> None:
    good = layout.image([BASE], pack=bytes)
    path = layout.write(good)
    page = json.loads((path / "blobs/sha256" / str(good["digest"])[7:]).read_text())
    page["layers"] = [layout.blob(gzip.compress(NEXT))]
    layout.write(layout.blob(json.dumps(page).encode()) | {"mediaType": MANIFEST})
    with pytest.raises(CaptureFailed, match="unpacks to does not have its sha256"):
        capture(path)


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ([("../x", b"")], "'../x' leads out of the archive"),
        ([("lib/x/y", b"")], "'lib/x/y' is below 'lib/x', which is a file"),
        ([("h", "etc/none")], "'h' is a hard link to 'etc/none'"),
        ([("../.wh.x", b"")], "'../.wh.x' leads out of the archive"),
        ([("n", b""), ("n", None)], "'n' is a file first, and a directory then"),
    ],
)
def test_hostile_layers(layout: Layout, members: list[Member], reason: str) -> None:
    path = layout.write(layout.image([BASE, layer(*members)]))
    with pytest.raises(CaptureFailed) as caught:
        capture(path)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    "index",
    [
        "",
        "[]",
        '{"manifests": [{"digest": "sha256:../../../etc/passwd", "size": 1}]}',
        '{"manifests": [{"digest": "md5:00", "size": 1}]}',
        '{"manifests": [{"digest": 5, "size": 1}]}',
        '{"manifests": []}',
    ],
)
def test_hostile_pages(layout: Layout, index: str) -> None:
    path = layout.write()
    (path / "index.json").write_text(index)
    with pytest.raises(SwarmstrapError) as caught:
        capture(path)
    assert "\n" not in str(caught.value)


def test_an_index_of_itself(layout: Layout) -> None:
    inner = layout.write()
    described: dict[str, object] = {"mediaType": INDEX}
    page = layout.blob(json.dumps({"manifests": []}).encode()) | described
    for _ in range(9):
        page = layout.blob(json.dumps({"manifests": [page]}).encode()) | described
    layout.write(page)
    with pytest.raises(CaptureFailed, match="its index goes on and on"):
        capture(inner)


def test_wishes_that_say_nothing(layout: Layout) -> None:
    path = layout.write(layout.image([BASE]))
    with pytest.raises(BadInput, match="--live says nothing about a container image"):
        capture(path, Wishes(live=True))
    with pytest.raises(BadInput, match="--known-hosts says nothing about a directory"):
        capture(path / "blobs", Wishes(known_hosts=path))
    with pytest.raises(BadInput, match=r"index\.json is nothing that can be captured"):
        capture(path / "index.json")


@needs_root
def test_a_layer_gives_the_image_that_its_tree_gives() -> None:
    with scratch() as place:
        (place / "tree").mkdir()
        nasty_system(place / "tree")
        key, store = Key.generate(place / "publisher"), ImageStore(place / "images")

        def image(source: Source, version: str) -> Published:
            return publish(source, "same", version, store, key, level=1, strip=())

        first = image(Directory(place / "tree"), "1")
        packed = (first.directory / PAYLOAD_FILE).read_bytes()
        plain = subprocess.run(["zstd", "-dqc"], input=packed, check=True, stdout=subprocess.PIPE)
        (place / "layout").mkdir()
        layout = Layout(place / "layout")
        path = layout.write(layout.image([plain.stdout], pack=lambda _: packed))
        room = Room(unpacking=place, mirrors=place)
        with chosen(str(path), Wishes(), room, lambda *_: None) as (source, _):
            assert image(source, "2").manifest.payload == first.manifest.payload


@pytest.mark.skipif(not shutil.which("skopeo"), reason="skopeo is not installed")
@pytest.mark.parametrize("form", ["docker-archive", "oci-archive", "oci"])
def test_what_skopeo_writes(layout: Layout, form: str) -> None:
    tars = [layer(("bin/sh", ELF_X86_64)), BASE, NEXT]
    path = layout.write(layout.image(tars) | {"annotations": {NAME: "12"}})
    copy = path.parent / "copy"
    to = f"{form}:{copy}:" + ("example/debian:12" if form == "docker-archive" else "12")
    skopeo = ["skopeo", "--insecure-policy", "copy", "-q", f"oci:{path}:12", to]
    subprocess.run(skopeo, check=True)
    assert capture(copy) == MERGED | {"bin": ("d", b""), "bin/sh": ("f", ELF_X86_64)}
