# SPDX-License-Identifier: GPL-2.0-or-later
"""What a manifest must not say, whoever signed it."""

from typing import Any

import msgspec
import pytest

from swarmstrap.errors import Untrusted
from swarmstrap.manifest import FORMAT, Facts, File, Kernel, Manifest, parse_manifest

DIGEST = "0123456789abcdef" * 4
GOOD = Manifest(
    format=FORMAT,
    name="debian",
    version="12.1",
    kind="tree",
    architecture="x86_64",
    created="2026-11-22T00:00:00Z",
    entries=1,
    unpacked=0,
    index=File(1, DIGEST),
    payload=File(1, DIGEST),
    infohash=DIGEST,
    facts=Facts(
        os_id="debian",
        os_name="Debian GNU/Linux 12 (bookworm) ü",
        kernels=(Kernel("6.1.0-9-amd64", "boot/vmlinuz-6.1.0-9-amd64", ""),),
        grub_targets=("i386-pc", "x86_64-efi"),
    ),
)


def test_a_good_one_is_read() -> None:
    assert parse_manifest(msgspec.json.encode(GOOD)) == GOOD


def kernel(**values: str) -> dict[str, object]:
    good = {"version": "6.1", "image": "boot/vmlinuz-6.1", "initrd": "boot/initrd.img-6.1"}
    return {"facts": {"kernels": [{**good, **values}]}}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"name": "de\nbian"}, r"has name 'de\\nbian'"),
        ({"name": "../keys"}, "has name"),
        ({"name": "n" * 65}, "has name"),
        ({"version": ""}, "has version ''"),
        ({"created": "2026-02-30T00:00:00Z"}, "has date '2026-02-30T00:00:00Z'"),
        ({"created": "2026-02-03"}, "has date"),
        ({"created": "2026-02-03T00:00:00+01:00"}, "has date"),
        ({"entries": -1}, "has size -1"),
        ({"unpacked": -5}, "has size -5"),
        ({"payload": {"size": -2, "sha256": DIGEST}}, "has size -2"),
        ({"payload": {"size": 1, "sha256": "00"}}, "has digest '00'"),
        ({"infohash": DIGEST.upper()}, "has digest"),
        ({"architecture": "x86 64"}, "has architecture"),
        ({"kind": "disk"}, "has kind disk and facts of another kind"),
        ({"warnings": ["a\x1b[2Jb"]}, r"has text that cannot be shown: 'a\\x1b\[2Jb'"),
        ({"facts": {"os_id": "a b"}}, "has operating system 'a b'"),
        ({"facts": {"os_name": "a\nb"}}, "has text that cannot be shown"),
        ({"facts": {"grub_targets": ["../x"]}}, "has GRUB platform"),
        (kernel(version="6.1'; reboot '"), "has kernel version"),
        (kernel(version="²"), "has kernel version"),
        (kernel(image="../../vmlinuz"), "has kernel '../../vmlinuz'"),
        (kernel(image="/boot/vmlinuz"), "has kernel"),
        (kernel(image="boot/vm linuz"), "has kernel"),
        (kernel(image="boot//vmlinuz"), "has kernel"),
        (kernel(initrd="boot/x}"), "has initrd"),
        ({"format": 9}, "has format 9"),
        ({"extra": 1}, "cannot be read"),
        ({"name": "\xff"}, "has name"),
    ],
)
def test_refused_in_one_line(changes: dict[str, Any], reason: str) -> None:
    said = {**msgspec.to_builtins(GOOD), **changes}
    with pytest.raises(Untrusted, match=f"manifest {reason}") as caught:
        parse_manifest(msgspec.json.encode(said))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b'{"name": "\xff"}', b"[" * 100_000])
def test_bytes_that_are_no_manifest(data: bytes) -> None:
    with pytest.raises(Untrusted, match="manifest cannot be read"):
        parse_manifest(data)
