# SPDX-License-Identifier: GPL-2.0-or-later
"""Everything that a node will rely on, and that others can rely on who only have tar."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from swarmstrap.errors import Untrusted
from swarmstrap.index import Frame, Index, Member, check, decode, digest, shown
from swarmstrap.manifest import (
    INDEX_FILE,
    MANIFEST_FILE,
    PAYLOAD_FILE,
    SIGNATURE_FILE,
    SIGNATURE_NAMESPACE,
    TORRENT_FILE,
    parse_manifest,
)
from swarmstrap.sshsig import Signers
from swarmstrap_server.images import compress, signing
from swarmstrap_server.images.library import Image, check_files, differs
from swarmstrap_server.images.tarcheck import READERS, check_names
from swarmstrap_server.images.torrents import make_torrent, torrent_name

# Bytes of the payload: done, and in all.
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Check:
    """Something that holds; or, when it is not `done`, could not be looked at here."""

    name: str
    said: str
    done: bool = True


def verify(
    image: Image,
    signers: Signers,
    *,
    progress: Progress = lambda done, total: None,
    tell: Callable[[Check], None] = lambda check: None,
) -> tuple[Check, ...]:
    """All checks, each told when it is made. Raises Untrusted at the first that does not hold."""
    made: list[Check] = []

    def passed(name: str, said: str, *, done: bool = True) -> None:
        made.append(Check(name, said, done))
        tell(made[-1])

    passed("signature", f"of {verify_signature(image, signers)}")
    check_files(image)
    _verify_torrent(image)
    passed("torrent", f"infohash {image.manifest.infohash}")
    index = read_index(image)
    passed("index", f"{len(index.entries)} entries in {len(index.frames)} frames")
    members = _verify_payload(image, index, progress)
    passed("payload", f"every frame, and the data of {members} members")
    for reader in READERS:
        if reader.missing:
            passed(reader.name, f"not checked: {reader.missing}", done=False)
        else:
            check_names(reader, image.directory / PAYLOAD_FILE, index.entries)
            passed(reader.name, "reads the payload and finds every entry")
    return tuple(made)


def verify_signature(image: Image, signers: Signers) -> str:
    """The fingerprint of the key that signed the manifest; raises Untrusted when it must not."""
    data = (image.directory / MANIFEST_FILE).read_bytes()
    path = image.directory / SIGNATURE_FILE
    signature = path.read_bytes() if path.exists() else b""
    try:
        signing.verify(data, signature, namespace=SIGNATURE_NAMESPACE, signers=signers)
    except Untrusted as error:
        raise Untrusted(f"{image.label}: {error.message}", hint=error.hint) from error
    if parse_manifest(data) != image.manifest:
        raise differs(image.label, MANIFEST_FILE, "it was another one a moment ago")
    return signing.claimed(signature)


def read_index(image: Image) -> Index:
    """Raises Untrusted unless it is the signed one and describes a tree."""
    data = (image.directory / INDEX_FILE).read_bytes()
    if hashlib.sha256(data).hexdigest() != image.manifest.index.sha256:
        raise differs(image.label, INDEX_FILE, "its sha256 is not the manifest's")
    index = decode(compress.decompress(data))
    check(index, image.manifest)
    return index


def _verify_torrent(image: Image) -> None:
    manifest = image.manifest
    made = make_torrent(image.directory, torrent_name(manifest.name, manifest.version))
    if made.infohash != manifest.infohash:
        raise differs(image.label, TORRENT_FILE, "its hashes are not those of the files")
    # Trackers and web seeds would be outside of what the infohash covers.
    if made.data != (image.directory / TORRENT_FILE).read_bytes():
        raise differs(image.label, TORRENT_FILE, "it says more than the hashes of the files")


def _verify_payload(image: Image, index: Index, progress: Progress) -> int:
    """How many members were compared with their digests."""
    payload = image.manifest.payload
    whole = hashlib.sha256()
    members = 0
    with (image.directory / PAYLOAD_FILE).open("rb") as file:
        for number, frame in enumerate(index.frames):
            part = file.read(frame.length)
            whole.update(part)
            reason = _frame_problem(frame, part, index)
            if reason:
                raise differs(image.label, PAYLOAD_FILE, f"frame {number} {reason}")
            members += len(frame.members)
            progress(frame.offset + frame.length, payload.size)
        if file.read(1) or whole.hexdigest() != payload.sha256:
            raise differs(image.label, PAYLOAD_FILE, "its sha256 is not the manifest's")
    return members


def _frame_problem(frame: Frame, part: bytes, index: Index) -> str:
    if hashlib.sha256(part).digest() != frame.sha256:
        return "does not have its sha256"
    data = compress.decompress(part)
    if len(data) != frame.unpacked:
        return "has another size"
    for member in frame.members:
        if digest(_parts(member, memoryview(data))) != member.digest:
            return f"has other data of {shown(index.entries[member.entry].path)}"
    return ""


def _parts(member: Member, data: memoryview) -> Iterator[memoryview]:
    """The member's data in its decompressed frame."""
    for segment in member.segments:
        yield data[segment.frame_offset : segment.frame_offset + segment.length]
