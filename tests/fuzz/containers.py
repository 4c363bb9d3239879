# SPDX-License-Identifier: GPL-2.0-or-later
"""Container images whose digests hold, whatever their pages and layers say."""

import gzip
import io
import json
import tarfile
from collections.abc import Callable
from hashlib import sha256

from hypothesis import strategies as some
from tests.fuzz.mutations import Tree, changed
from tests.fuzz.tars import archives, valid_archive

_WORDS: tuple[Tree, ...] = (
    *("", "x", "linux", "arm64", "a\nb\x1b[2J", "../../outside", "sha256:" + "0" * 64, "sha256:"),
    *(None, 0, -1, 2**70, [], {}, "org.opencontainers.image.ref.name"),
)
_INDEX = "application/vnd.oci.image.index.v1+json"

# Draws another page like the given one; the valid image keeps each as it is.
Change = Callable[[Tree], Tree]


def layout(layers: list[bytes], change: Change) -> bytes:
    """An OCI image layout as a tar."""
    files: dict[str, bytes] = {"oci-layout": b'{"imageLayoutVersion": "1.0.0"}'}

    def blob(data: bytes) -> Tree:
        digest = sha256(data).hexdigest()
        files[f"blobs/sha256/{digest}"] = data
        return {"digest": f"sha256:{digest}", "size": len(data)}

    def page(tree: Tree) -> bytes:
        return json.dumps(change(tree)).encode()

    diffs: list[Tree] = [f"sha256:{sha256(layer).hexdigest()}" for layer in layers]
    config = blob(page({"rootfs": {"type": "layers", "diff_ids": diffs}}))
    packed: list[Tree] = [blob(gzip.compress(layer, 1, mtime=0)) for layer in layers]
    manifest = blob(page({"config": config, "layers": packed}))
    named: Tree = {"org.opencontainers.image.ref.name": "fuzzed:1"}
    platform: Tree = {"os": "linux", "architecture": "amd64"}
    assert isinstance(manifest, dict)
    entry: Tree = {**manifest, "annotations": named, "platform": platform}
    files["index.json"] = page({"schemaVersion": 2, "manifests": [entry], "mediaType": _INDEX})
    return _packed(files)


def saved(layers: list[bytes], change: Change) -> bytes:
    """An archive of `docker save`."""
    diffs: list[Tree] = [f"sha256:{sha256(layer).hexdigest()}" for layer in layers]
    config = json.dumps(change({"rootfs": {"type": "layers", "diff_ids": diffs}})).encode()
    name = f"{sha256(config).hexdigest()}.json"
    paths: list[Tree] = [f"{number}/layer.tar" for number in range(len(layers))]
    images: Tree = [{"Config": name, "RepoTags": ["fuzzed:1"], "Layers": paths}]
    files = dict(zip(map(str, paths), layers, strict=True))
    return _packed({**files, name: config, "manifest.json": json.dumps(change(images)).encode()})


def valid_containers() -> tuple[bytes, ...]:
    layers = [valid_archive(), _packed({"d/.wh.f": b"", "d/new": b"new", "top/.wh..wh..opq": b""})]
    return layout(layers, lambda page: page), saved(layers, lambda page: page)


@some.composite
def containers(draw: some.DrawFn) -> bytes:
    whiteouts = ({"d/.wh.f": b""}, {".wh..wh..opq": b""}, {".wh.": b"", ".wh...": b""})
    hiding = some.sampled_from((b"", *map(_packed, whiteouts)))
    layers = draw(some.lists(archives() | some.just(valid_archive()) | hiding, max_size=3))

    def change(page: Tree) -> Tree:
        return draw(changed(page, _WORDS)) if draw(some.integers(0, 3)) == 0 else page

    return draw(some.sampled_from((layout, saved)))(layers, change)


def _packed(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()
