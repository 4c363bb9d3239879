# SPDX-License-Identifier: GPL-2.0-or-later
"""Manifest: the signed page that names an image and everything that must be true of it."""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Literal

import msgspec

from swarmstrap.errors import Untrusted
from swarmstrap.units import human

INDEX_FILE = "index.zst"
PAYLOAD_FILE = "root.tar.zst"
TORRENT_FILE = "image.torrent"
MANIFEST_FILE = "manifest.json"
SIGNATURE_FILE = "manifest.json.sig"
SIGNATURE_NAMESPACE = "swarmstrap-image"
HOOK_NAMESPACE = "swarmstrap-hook"
OVERLAY_NAMESPACE = "swarmstrap-overlay"
SIGNER = "publisher"
FORMAT = 2

NetworkStack = Literal["netplan", "systemd-networkd", "networkmanager", "ifcfg", "ifupdown", "none"]
# What makes /etc/resolv.conf; `none` where it is a file like any other.
Resolver = Literal["systemd-resolved", "resolvconf", "none", "unknown"]
# What opens a LUKS volume in the image's initramfs by a TPM2; nothing where nobody asks one.
Tpm2Unlocker = Literal["", "systemd", "clevis"]
# Where the image's GRUB keeps its configuration and modules.
GrubFolder = Literal["boot/grub", "boot/grub2"]
# `tree` is a filesystem's files; `disk` a whole disk, as one sparse file.
ImageKind = Literal["tree", "disk"]
PartitionTable = Literal["gpt", "dos", "none"]
# The architecture of a disk image that does not tell what it runs on, and the one file of it.
ANY_ARCHITECTURE = "any"
DISK_FILE = b"disk.img"

# Names and versions become folders, parts of URLs and of torrent names.
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
# These are pasted into what a boot loader reads.
KERNEL_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~-]*")
KERNEL_ARGUMENT = re.compile(r"[A-Za-z0-9_.,=:/@+%~-]+")
_BOOT_FILE = re.compile(r"(?:[A-Za-z0-9_+~-][A-Za-z0-9._+~-]*/)*[A-Za-z0-9_+~-][A-Za-z0-9._+~-]*")
WORD = re.compile(r"[a-z0-9][a-z0-9._-]*")
SHA256 = re.compile(r"[0-9a-f]{64}")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")


class File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of the torrent: bytes and sha256 as hex."""

    size: int
    sha256: str


class Kernel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A kernel found at capture; paths are relative to the image root, `initrd` may be empty."""

    version: str
    image: str
    initrd: str


class SignedBoot(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What firmware with Secure Boot starts, as the image's distribution signed it; relative to the
    image root, `manager` may be empty. In `folder` of the ESP the signed GRUB looks for its
    configuration, as in `EFI/debian`.
    """

    shim: str
    grub: str
    manager: str
    folder: str


class Facts(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What capture saw and the plan relies on.

    `grub_targets` are the platforms whose modules the image carries (`i386-pc`, `x86_64-efi`);
    `systemd_boot` is that program's path, empty without; `kernel_arguments` are what the image's
    own boot loader gives every kernel. `cloud_init` is whether it carries a program that would
    configure the network, too.
    """

    os_id: str = ""
    os_name: str = ""
    os_version: str = ""
    kernels: tuple[Kernel, ...] = ()
    grub_targets: tuple[str, ...] = ()
    grub_folder: GrubFolder = "boot/grub"
    signed_boot: SignedBoot | None = None
    systemd_boot: str = ""
    kernel_arguments: tuple[str, ...] = ()
    network_stack: NetworkStack = "none"
    resolver: Resolver = "unknown"
    tpm2_unlocker: Tpm2Unlocker = ""
    cloud_init: bool = False


class DiskPartition(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A partition of a disk image; `start` and `size` in bytes.

    `type` is a GUID on a GPT, two hex digits on a DOS table; `guid` is what Linux calls PARTUUID.
    `filesystem`, `uuid` and `label` are blkid's words for what it holds. `used` says how the blocks
    in use were told from the others.
    """

    number: int
    start: int
    size: int
    type: str
    guid: str = ""
    name: str = ""
    filesystem: str = ""
    uuid: str = ""
    label: str = ""
    used: str = ""

    def __str__(self) -> str:
        what = " ".join(word for word in (human(self.size), self.filesystem, self.label) if word)
        return f"partition {self.number}, {what}: {self.used}"


class DiskFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The disk that an image of kind `disk` is of; sizes and places in bytes.

    What the image holds no data for must read as zeros, but for `unused`: the largest ranges that
    no filesystem uses, as (start, size), where a node may leave what it finds.
    """

    size: int
    logical_sector: int
    table: PartitionTable
    uuid: str = ""
    partitions: tuple[DiskPartition, ...] = ()
    unused: tuple[tuple[int, int], ...] = ()


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`unpacked` is the bytes that files take on disk; `infohash` the torrent's v2 hash, as hex.

    `disk` is there for the kind `disk` only. `compression` is the library and level that made these
    bytes of these files. `stripped`, `left_out` and `warnings` are lines for people, as capture
    said them.
    """

    format: int
    name: str
    version: str
    kind: ImageKind
    architecture: str
    created: str
    entries: int
    unpacked: int
    index: File
    payload: File
    infohash: str
    facts: Facts
    disk: DiskFacts | None = None
    compression: str = ""
    stripped: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def parse_manifest(data: bytes) -> Manifest:
    """Decode bytes whose signature was checked before; raises Untrusted when they are not one."""
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Untrusted(
            f"manifest cannot be read: {error}", hint="publish the image again"
        ) from error
    if manifest.format != FORMAT:
        raise Untrusted(
            f"manifest has format {manifest.format}, this agent reads {FORMAT}",
            hint="build the initramfs with the version that captured the image",
        )
    problem = _problem(manifest)
    if problem is not None:
        raise Untrusted(f"manifest has {problem}", hint="capture and publish the image again")
    return manifest


def _problem(manifest: Manifest) -> str | None:
    """Why nobody should work with it, whoever signed it."""
    if (manifest.kind == "disk") != (manifest.disk is not None):
        return f"kind {manifest.kind} and facts of another kind"
    sizes = (manifest.entries, manifest.unpacked, manifest.index.size, manifest.payload.size)
    if min(sizes) < 0:
        return f"size {min(sizes)}"
    if not is_time(manifest.created):
        return f"date {manifest.created!r:.80}"
    for value, form, what in _formed(manifest):
        if not form.fullmatch(value):
            return f"{what} {value!r:.80}"
    for text in _texts(msgspec.to_builtins(manifest)):
        if not text.isprintable():
            return f"text that cannot be shown: {text!r:.80}"
    return None


def is_time(text: str) -> bool:
    """Whether it is written as `created` is: 2026-11-22T10:00:00Z."""
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return _TIME.fullmatch(text) is not None


def _formed(manifest: Manifest) -> Iterator[tuple[str, re.Pattern[str], str]]:
    yield manifest.name, NAME, "name"
    yield manifest.version, NAME, "version"
    yield manifest.architecture, WORD, "architecture"
    for digest in (manifest.infohash, manifest.index.sha256, manifest.payload.sha256):
        yield digest, SHA256, "digest"
    if manifest.facts.os_id:
        yield manifest.facts.os_id, WORD, "operating system"
    for target in manifest.facts.grub_targets:
        yield target, WORD, "GRUB platform"
    for kernel in manifest.facts.kernels:
        yield kernel.version, KERNEL_VERSION, "kernel version"
        yield kernel.image, _BOOT_FILE, "kernel"
        if kernel.initrd:
            yield kernel.initrd, _BOOT_FILE, "initrd"
    for word in manifest.facts.kernel_arguments:
        yield word, KERNEL_ARGUMENT, "kernel argument"
    if manifest.facts.systemd_boot:
        yield manifest.facts.systemd_boot, _BOOT_FILE, "boot loader"
    if signed := manifest.facts.signed_boot:
        for path in filter(None, (signed.shim, signed.grub, signed.manager, signed.folder)):
            yield path, _BOOT_FILE, "boot loader"


def _texts(value: object) -> Iterator[str]:
    match value:
        case str():
            yield value
        case list() | tuple():
            for item in value:
                yield from _texts(item)
        case dict():
            yield from _texts(list(value.values()))
        case _:
            pass


def check_architecture(manifest: Manifest, machine: str) -> None:
    """Raises Untrusted unless the image was made for `machine` (as in `uname -m`)."""
    if manifest.architecture not in (machine, ANY_ARCHITECTURE):
        raise Untrusted(
            f"image {manifest.name} {manifest.version} is for {manifest.architecture}, "
            f"this node is {machine}",
            hint="deploy an image of the node's architecture",
        )
