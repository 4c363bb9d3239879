# SPDX-License-Identifier: GPL-2.0-or-later
"""Looking into an initramfs of any packing, and deciding whether it can start this node's root."""

import bz2
import contextlib
import gzip
import io
import lzma
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as some

from swarmstrap import cpio
from swarmstrap.effects.system.initramfs import lacking, read_names, ready
from swarmstrap.errors import BadInput, StepFailed
from swarmstrap.steps.system import Need, ReadyInitramfs

MICROCODE = "kernel/x86/microcode/GenuineIntel.bin"
CONTENT = {
    "usr/lib/modules/6.1/kernel/drivers/md/raid1.ko": b"x" * 70_001,
    "usr/lib/modules/6.1/kernel/drivers/md/dm-mod.ko.zst": b"",
    "usr/sbin/mdadm": b"odd",
    "sbin/mdadm": b"",
}
STEP = ReadyInitramfs(
    version="6.1",
    initrd="/boot/initrd.img-6.1",
    modules=(Need("raid1", "array root"), Need("megaraid_sas", "/dev/sda")),
    programs=(Need("mdadm", "array root"),),
)


def archive(files: dict[str, bytes]) -> bytes:
    """As gen_init_cpio of the kernel writes it."""
    data = b""
    for number, (name, content) in enumerate({**files, "TRAILER!!!": b""}.items()):
        path = name.encode() + b"\0"
        fields = (number, 0o100644, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(path), 0)
        data += b"070701" + b"".join(b"%08X" % field for field in fields) + path
        data += bytes(-len(data) % 4) + content
        data += bytes(-len(data) % 4)
    return data + bytes(-len(data) % 512)


@pytest.mark.parametrize(
    "pack",
    [
        bytes,
        gzip.compress,
        bz2.compress,
        lzma.compress,
        lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
        zstandard.ZstdCompressor().compress,
        lambda data: b"".join(
            zstandard.ZstdCompressor().compress(part) for part in (data[:5000], data[5000:])
        ),
    ],
    ids=["plain", "gzip", "bzip2", "xz", "lzma", "zstd", "zstd-frames"],
)
@pytest.mark.parametrize("early", [b"", archive({MICROCODE: b"m" * 4097})], ids=["", "microcode"])
def test_every_packing(pack: Callable[[bytes], bytes], early: bytes, tmp_path: Path) -> None:
    initrd = tmp_path / "initrd"
    initrd.write_bytes(early + pack(archive(CONTENT)))
    assert read_names(initrd) == {*CONTENT, *([MICROCODE] if early else [])}


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x02\x21\x4c\x18lz4", r"cannot be looked into \(it begins with 02 21 4c 18\)"),
        (archive(CONTENT)[:300], "cpio archive ends early"),
        (b"070701" + b"Z" * 104, "other than hex digits"),
        (b"070701" + b"F" * 104, "name of 4294967295 bytes"),
        (archive({"a": b"", "b": b""}).replace(b"070701", b"070799", 2)[114:], "looked into"),
        (gzip.compress(archive(CONTENT))[:-20], "cannot be read"),
        (zstandard.ZstdCompressor().compress(archive(CONTENT))[:60], "holds no archive"),
        (gzip.compress(b"something else"), "holds no archive"),
        (b"", "holds no archive"),
        (lzma.compress(archive(CONTENT))[:90] + b"damage", "cannot be read|ends early"),
    ],
)
def test_what_cannot_be_looked_into(data: bytes, why: str, tmp_path: Path) -> None:
    (tmp_path / "initrd").write_bytes(data)
    with pytest.raises(BadInput, match=why):
        read_names(tmp_path / "initrd")


@given(
    some.binary(max_size=300)
    | some.tuples(some.integers(0, 400), some.binary(max_size=4)).map(
        lambda edit: archive({"a": b"xyz"})[: edit[0]] + edit[1] + archive({"b": b""})[edit[0] :]
    )
)
def test_whatever_is_read_ends(data: bytes) -> None:
    with contextlib.suppress(BadInput):
        cpio.names(io.BytesIO(data))


def test_what_follows_an_archive_is_its_callers() -> None:
    names, magic = cpio.names(io.BytesIO(bytes(8) + archive({"a": b"1"}) + b"(\xb5/\xfdxyz"))
    assert (names, magic) == (["a"], b"(\xb5/\xfdxy")


@pytest.mark.parametrize(
    ("names", "built_in", "missing"),
    [
        ({"lib/raid1.ko", "lib/megaraid_sas.ko.xz", "sbin/mdadm"}, set(), ""),
        ({"lib/raid1.ko", "sbin/mdadm"}, {"megaraid_sas"}, ""),
        ({"lib/raid1.ko", "sbin/mdadm"}, set(), "megaraid_sas"),
        ({"lib/megaraid-sas.ko", "etc/raid1"}, {"raid1"}, "mdadm"),
        ({"lib/megaraid-sas.ko", "etc/mdadm", "scripts/local-block/mdadm"}, {"raid1"}, "mdadm"),
        (set(), set(), "raid1 megaraid_sas mdadm"),
    ],
)
def test_lacking(names: set[str], built_in: set[str], missing: str) -> None:
    assert [need.name for need in lacking(STEP, names, built_in)] == missing.split()


def test_dracut_opens_luks_by_systemds_program() -> None:
    step = ReadyInitramfs("6.1", "/boot/x", (), (Need("cryptsetup", "LUKS volume root"),))
    assert lacking(step, {"usr/lib/systemd/systemd-cryptsetup"}, set()) == ()


@pytest.mark.parametrize(
    ("folder", "missing"),
    [("usr/lib/x86_64-linux-gnu", ""), ("usr/lib64", ""), ("", "libtss2-esys.so.0")],
)
def test_a_library_lies_wherever_the_distribution_has_them(folder: str, missing: str) -> None:
    step = ReadyInitramfs("6.1", "/boot/x", (), (Need("libtss2-esys.so.0", "LUKS volume root"),))
    names = {f"{folder}/libtss2-esys.so.0"} if folder else {"usr/lib/libtss2-esys.so.0.0.0"}
    assert " ".join(need.name for need in lacking(step, names, set())) == missing


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "boot").mkdir()
    (tmp_path / "lib/modules/6.1").mkdir(parents=True)
    builtin = "kernel/drivers/scsi/megaraid/megaraid_sas.ko\n"
    (tmp_path / "lib/modules/6.1/modules.builtin").write_text(builtin)
    (tmp_path / "boot/initrd.img-6.1").write_bytes(gzip.compress(archive(CONTENT)))
    return tmp_path


def test_one_that_has_everything_stays(root: Path) -> None:
    before = (root / "boot/initrd.img-6.1").stat()
    assert (
        ready(STEP, root) == "/boot/initrd.img-6.1 has all that this node needs, and stays as it is"
    )
    assert (root / "boot/initrd.img-6.1").stat() == before


def test_nothing_to_make_another_one_with(root: Path) -> None:
    (root / "lib/modules/6.1/modules.builtin").write_text("")
    said = r"made anew \(it lacks megaraid_sas, needed by /dev/sda\), and the image has nothing"
    with pytest.raises(StepFailed, match=said):
        ready(STEP, root)


def test_a_kernel_whose_file_is_not_called_by_its_version(root: Path) -> None:
    (root / "lib/modules/6.1").rename(root / "lib/modules/6.1.9-arch1-1")
    assert "stays as it is" in ready(STEP, root)
    (root / "lib/modules/6.2").mkdir()
    with pytest.raises(StepFailed, match=r"none of 6\.1\.9-arch1-1, 6\.2 in /lib/modules is of"):
        ready(STEP, root)


def test_a_kernel_without_modules_has_all_of_them_in_itself(root: Path) -> None:
    shutil.rmtree(root / "lib/modules")
    assert "stays as it is" in ready(STEP, root)
