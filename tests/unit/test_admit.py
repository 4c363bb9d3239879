# SPDX-License-Identifier: GPL-2.0-or-later
"""Nothing is written for a job whose signatures, architecture or torrent do not hold."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from tests.trees import small_system

from swarmstrap.effects.admit import admit
from swarmstrap.effects.trust import read_floors
from swarmstrap.errors import BadInput, SwarmstrapError, Untrusted
from swarmstrap.floors import Floors, encode
from swarmstrap.hardware import Boot, Cpu, Inventory
from swarmstrap.layout import Layout
from swarmstrap.manifest import (
    HOOK_NAMESPACE,
    MANIFEST_FILE,
    OVERLAY_NAMESPACE,
    SIGNATURE_FILE,
    SIGNATURE_NAMESPACE,
    TORRENT_FILE,
    parse_manifest,
)
from swarmstrap.overlays import listing
from swarmstrap.sshsig import Signers
from swarmstrap.wire import Hook, Job, Overlay, OverlayFile
from swarmstrap_server.images.library import ImageStore
from swarmstrap_server.images.publish import publish
from swarmstrap_server.images.signing import Key
from swarmstrap_server.images.sources.directory import Directory

NODE = Inventory(boot=Boot(current_boot_mode="uefi"), cpu=Cpu(architecture="x86_64"))
Change = Callable[[Job, Key], Job]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("admit")


@pytest.fixture(scope="module")
def key(place: Path) -> Key:
    key = Key.generate(place / "publisher")
    (place / "allowed_signers").write_text(key.allowed_signers())
    return key


@pytest.fixture(scope="module")
def job(place: Path, key: Key) -> Job:
    small_system(place / "source")
    store = ImageStore(place / "images")
    image = publish(Directory(place / "source"), "small", "1", store, key).directory
    hook = b"#!/bin/sh\ntrue\n"
    return Job(
        deployment="d",
        node="n",
        session="s",
        manifest=(image / MANIFEST_FILE).read_bytes(),
        signature=(image / SIGNATURE_FILE).read_bytes(),
        torrent=(image / TORRENT_FILE).read_bytes(),
        layout=Layout(disks=()),
        hooks=(
            Hook(
                name="10-true",
                where="chroot",
                content=hook,
                signature=key.sign(hook, HOOK_NAMESPACE),
            ),
        ),
    )


def signers(folder: Path) -> Signers:
    return Signers(folder / "allowed_signers", folder / "revoked_keys")


def with_hook(job: Job, **changes: object) -> Job:
    hook = msgspec.structs.replace(job.hooks[0], **changes)
    return msgspec.structs.replace(job, hooks=(hook,))


def with_overlay(job: Job, key: Key, namespace: str = OVERLAY_NAMESPACE, path: str = "") -> Job:
    """Signed, and then with another `path` if one is given."""
    file = OverlayFile(path="/etc/motd", content=b"Welcome\n")
    overlay = Overlay(name="base", files=(file,))
    signature = key.sign(listing(overlay), namespace)
    files = (msgspec.structs.replace(file, path=path or file.path),)
    overlay = msgspec.structs.replace(overlay, files=files, signature=signature)
    return msgspec.structs.replace(job, overlays=(overlay,))


def another_size(job: Job, key: Key) -> Job:
    manifest = parse_manifest(job.manifest)
    index = msgspec.structs.replace(manifest.index, size=manifest.index.size + 1)
    data = msgspec.json.encode(msgspec.structs.replace(manifest, index=index))
    return msgspec.structs.replace(
        job, manifest=data, signature=key.sign(data, SIGNATURE_NAMESPACE)
    )


def another_torrent(job: Job, key: Key) -> Job:
    other = msgspec.structs.replace(parse_manifest(job.manifest), infohash="0" * 64)
    manifest = msgspec.json.encode(other)
    return msgspec.structs.replace(
        job, manifest=manifest, signature=key.sign(manifest, SIGNATURE_NAMESPACE)
    )


def test_what_the_publisher_signed_is_admitted(job: Job, key: Key, place: Path) -> None:
    manifest, torrent = admit(NODE, with_overlay(job, key), signers(place), Floors())
    assert (manifest.name, manifest.version) == ("small", "1")
    assert [Path(path).name for path, _ in torrent.files] == ["index.zst", "root.tar.zst"]


CHANGES: dict[str, tuple[Change, type[SwarmstrapError], str]] = {
    "a torrent of other files": (
        another_size,
        Untrusted,
        r"does not hold index\.zst and root\.tar\.zst as the manifest says",
    ),
    "no signature": (
        lambda job, key: msgspec.structs.replace(job, signature=b""),
        Untrusted,
        "signature|signed",
    ),
    "a changed manifest": (
        lambda job, key: msgspec.structs.replace(
            job, manifest=job.manifest.replace(b"small", b"large")
        ),
        Untrusted,
        "signature|signed",
    ),
    "a hook's signature for the manifest": (
        lambda job, key: msgspec.structs.replace(
            job, signature=key.sign(job.manifest, HOOK_NAMESPACE)
        ),
        Untrusted,
        "signature|signed",
    ),
    "another torrent": (another_torrent, Untrusted, "the signed manifest names 0"),
    "a changed hook": (
        lambda job, key: with_hook(job, content=b"#!/bin/sh\nfalse\n"),
        Untrusted,
        r"hook 10-true: .*\(run swarmstrap hook sign\)",
    ),
    "a hook named as a path": (
        lambda job, key: with_hook(job, name="10-../../bin/sh"),
        BadInput,
        "hook name '10-../../bin/sh' is not usable",
    ),
    "a changed overlay": (
        lambda job, key: with_overlay(job, key, path="/etc/shadow"),
        Untrusted,
        r"overlay base: the overlay's signature does not hold.*\(run swarmstrap overlay sign\)",
    ),
    "an overlay signed as a hook": (
        lambda job, key: with_overlay(job, key, HOOK_NAMESPACE),
        Untrusted,
        "overlay base: the overlay's signature does not hold",
    ),
    "an overlay for a path outside": (
        lambda job, key: with_overlay(job, key, path="/../etc/shadow"),
        BadInput,
        r"overlay base: '/\.\./etc/shadow' is not a path to lay a file at",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_anything_else_is_not(change: str, job: Job, key: Key, place: Path) -> None:
    make, error, message = CHANGES[change]
    with pytest.raises(error, match=message):
        admit(NODE, make(job, key), signers(place), Floors())


def test_another_architecture_is_not(job: Job, place: Path) -> None:
    node = msgspec.structs.replace(NODE, cpu=Cpu(architecture="aarch64"))
    with pytest.raises(Untrusted, match="small 1 is for x86_64, this node is aarch64"):
        admit(node, job, signers(place), Floors())


@pytest.mark.parametrize(
    ("floors", "said"),
    [
        (Floors(floors={"small": "2999-01-01T00:00:00Z"}), "nothing older than 2999-01-01"),
        (Floors(revoked={"INFOHASH": "small:1"}), "image small 1 was revoked"),
    ],
)
def test_what_is_too_old_or_revoked_is_not(
    job: Job, place: Path, floors: Floors, said: str
) -> None:
    # As it is baked, whatever the server sends: the publisher's signature holds all the same.
    infohash = parse_manifest(job.manifest).infohash
    baked = place / "floors.json"
    baked.write_bytes(encode(floors).replace(b"INFOHASH", infohash.encode()))
    with pytest.raises(Untrusted, match=said):
        admit(NODE, job, signers(place), read_floors(baked))


def test_the_floor_itself_is_admitted(job: Job, place: Path) -> None:
    created = parse_manifest(job.manifest).created
    floors = Floors(floors={"small": created, "other": "2999-01-01T00:00:00Z"})
    assert admit(NODE, job, signers(place), floors)[0].created == created
    assert read_floors(place / "missing") == Floors()
    (place / "broken").write_text("{")
    with pytest.raises(BadInput, match=r"broken: .*initramfs"):
        read_floors(place / "broken")


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "cannot read the publisher's keys .*: No such file"), (b"\n", "there is no key in")],
)
def test_without_the_publishers_keys_it_says_so(
    job: Job, tmp_path: Path, content: bytes | None, said: str
) -> None:
    if content is not None:
        signers(tmp_path).allowed.write_bytes(content)
    with pytest.raises(BadInput, match=said) as refused:
        admit(NODE, job, signers(tmp_path), Floors())
    assert "initramfs" in refused.value.hint
