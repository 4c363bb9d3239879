# SPDX-License-Identifier: GPL-2.0-or-later
"""An image that travels arrives as it was, or not at all."""

import io
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.publishing import Site

from swarmstrap.errors import BadInput, SwarmstrapError, Untrusted
from swarmstrap.manifest import INDEX_FILE, PAYLOAD_FILE, SIGNATURE_FILE
from swarmstrap_server.images.exchange import export_folder, export_tar, import_image
from swarmstrap_server.images.library import FILES, Image, ImageStore
from swarmstrap_server.images.signing import Key


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture
def image(site: Site) -> Image:
    return site.image()


@pytest.fixture
def other(tmp_path: Path) -> ImageStore:
    """The store of another site, which trusts the same publisher."""
    return ImageStore(tmp_path / "other")


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def signed(folder: Path) -> dict[str, bytes]:
    """All but the signature itself, which can be written in many ways."""
    return {name: data for name, data in content(folder).items() if name != SIGNATURE_FILE}


def as_tar(image: Image) -> io.BytesIO:
    stream = io.BytesIO()
    export_tar(image, stream)
    stream.seek(0)
    return stream


def test_there_and_back_is_byte_equal(site: Site, image: Image, other: ImageStore) -> None:
    brought = import_image(as_tar(image), other, site.signers)
    assert brought == other.get("system", "1")
    assert content(brought.directory) == content(image.directory)
    assert as_tar(brought).getvalue() == as_tar(image).getvalue()


def test_by_a_folder(site: Site, image: Image, other: ImageStore, tmp_path: Path) -> None:
    export_folder(image, tmp_path / "stick/system")
    brought = import_image(tmp_path / "stick/system", other, site.signers)
    assert content(brought.directory) == content(image.directory)
    with pytest.raises(BadInput, match="stick/system is not empty"):
        export_folder(image, tmp_path / "stick/system")


class Reports:
    """What was told of each thing that was done: bytes so far, of how many."""

    def __init__(self) -> None:
        self.told: dict[str, list[tuple[int, int | None]]] = {}

    def __call__(self, what: str, done: int, total: int | None) -> None:
        self.told.setdefault(what, []).append((done, total))


def test_every_byte_on_the_way_is_told(
    site: Site, image: Image, other: ImageStore, tmp_path: Path
) -> None:
    files = {name: len(data) for name, data in content(image.directory).items()}
    payload = files[PAYLOAD_FILE]
    stream, to_tar, to_folder, back = io.BytesIO(), Reports(), Reports(), Reports()
    export_tar(image, stream, report=to_tar)
    export_folder(image, tmp_path / "out", report=to_folder)
    stream.seek(0)
    import_image(stream, other, site.signers, report=back)
    expected = {"exporting system:1": sum(files.values())}
    signed = payload + files[INDEX_FILE]
    both = {"importing system:1": signed, "verifying system:1": payload}
    for reports, totals in ((to_tar, expected), (to_folder, expected), (back, both)):
        assert reports.told.keys() == totals.keys()
        for what, total in totals.items():
            told = reports.told[what]
            assert len(told) > 1
            assert told[-1] == (total, total)
            assert told == sorted(told)
            assert {of for _, of in told} == {total}


def test_a_folder_that_cannot_be_made(image: Image, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match=r"cannot write .*/file/out: Not a directory"):
        export_folder(image, tmp_path / "file" / "out")


def test_nothing_is_left_in_a_folder_that_was_not_written_whole(
    image: Image, tmp_path: Path
) -> None:
    def stop(what: str, done: int, total: int | None) -> None:
        if done > files[0].stat().st_size:
            raise KeyboardInterrupt

    folder = tmp_path / "out"
    files = [image.directory / name for name in FILES]
    with pytest.raises(KeyboardInterrupt):
        export_folder(image, folder, report=stop)
    assert list(folder.iterdir()) == []
    export_folder(image, folder)
    assert content(folder) == content(image.directory)


def test_others_read_the_tar_and_can_make_one(
    site: Site, image: Image, other: ImageStore, tmp_path: Path
) -> None:
    (tmp_path / "image.tar").write_bytes(as_tar(image).getvalue())
    subprocess.run(["tar", "-xf", "image.tar"], cwd=tmp_path, check=True)
    assert content(tmp_path / "system-1") == content(image.directory)
    command: list[str | Path] = ["tar", "-cf", tmp_path / "own.tar"]
    command += ["-C", image.directory, *FILES]
    subprocess.run(command, check=True)
    assert import_image(tmp_path / "own.tar", other, site.signers).label == "system:1"


def test_what_is_there_is_never_replaced(site: Site, image: Image) -> None:
    before = content(image.directory)
    with pytest.raises(BadInput, match="image system:1 exists already"):
        import_image(as_tar(image), site.store, site.signers)
    assert content(image.directory) == before


def test_a_publisher_whom_nobody_allowed(image: Image, other: ImageStore, tmp_path: Path) -> None:
    own = Site(tmp_path / "own")
    with pytest.raises(Untrusted, match=r"none of the publisher's \(.*swarmstrap key add"):
        import_image(as_tar(image), other, own.signers)
    assert not other.root.exists()
    with own.signers.allowed.open("a") as file:
        file.write(Key(tmp_path / "publisher").allowed_signers())
    assert import_image(as_tar(image), other, own.signers).label == "system:1"


def rewritten(image: Image, change: Callable[[str, bytes], bytes], names: tuple[str, ...]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name in names:
            data = change(name, (image.directory / name).read_bytes())
            member = tarfile.TarInfo(f"../../{name}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return stream.getvalue()


def flipped(name: str, data: bytes) -> bytes:
    return data[:-9] + bytes([data[-9] ^ 1]) + data[-8:] if name == PAYLOAD_FILE else data


def longer(name: str, data: bytes) -> bytes:
    return data + b"more" if name == PAYLOAD_FILE else data


def same(name: str, data: bytes) -> bytes:
    return data


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda image: b"", "is no image: empty file"),
        (lambda image: os.urandom(20_000), "is no image: "),
        (
            lambda image: as_tar(image).getvalue()[:300_000],
            "root.tar.zst of system:1 was changed|is no image",
        ),
        (lambda image: rewritten(image, flipped, FILES), "was changed"),
        (
            lambda image: rewritten(image, same, FILES[:-1]),
            "root.tar.zst should come here, not 'nothing'",
        ),
        (
            lambda image: rewritten(image, same, FILES[::-1]),
            "manifest.json should come here, not 'root",
        ),
        (lambda image: rewritten(image, same, (*FILES, FILES[0])), "more than an image"),
        (lambda image: rewritten(image, longer, FILES), "root.tar.zst has more bytes"),
    ],
)
def test_what_was_damaged_leaves_nothing(
    site: Site, image: Image, other: ImageStore, make: Callable[[Image], bytes], said: str
) -> None:
    with pytest.raises(SwarmstrapError, match=said) as refused:
        import_image(io.BytesIO(make(image)), other, site.signers)
    assert refused.value.hint
    assert not other.root.exists() or list(other.root.iterdir()) == []


def test_a_member_that_is_no_file(site: Site, other: ImageStore, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "bad.tar", mode="w") as tar:
        member = tarfile.TarInfo("manifest.json")
        member.type = tarfile.SYMTYPE
        member.linkname = "/etc/shadow"
        tar.addfile(member)
    with pytest.raises(BadInput, match=r"bad\.tar is no image: 'manifest.json' is no file"):
        import_image(tmp_path / "bad.tar", other, site.signers)
    with pytest.raises(BadInput, match=r"cannot read .*missing: No such file"):
        import_image(tmp_path / "missing", other, site.signers)


FUZZED = settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@FUZZED
@given(flips=st.lists(st.tuples(st.integers(0, 8191), st.integers(1, 255)), min_size=1, max_size=4))
def test_whatever_comes_in_is_refused_in_one_line_or_is_the_image(
    site: Site, image: Image, tmp_path: Path, flips: list[tuple[int, int]]
) -> None:
    """The first headers, manifest and signature of a tar, with a few bytes changed."""
    data = bytearray(as_tar(image).getvalue())
    for place, mask in flips:
        data[place] ^= mask
    said = ""
    with tempfile.TemporaryDirectory(dir=tmp_path) as folder:
        other = ImageStore(Path(folder))
        try:
            import_image(io.BytesIO(data), other, site.signers)
        except SwarmstrapError as error:
            said = str(error)
        brought = [signed(found.directory) for found in other.ls()]
    assert brought == ([] if said else [signed(image.directory)])
    assert said.isprintable()
