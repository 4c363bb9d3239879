# SPDX-License-Identifier: GPL-2.0-or-later
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmstrap.errors import BadInput
from swarmstrap.units import (
    Bytes,
    align_down,
    align_up,
    human,
    is_share,
    parse_share,
    parse_size,
    to_sectors,
)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("4096", 4096),
        ("512MiB", 512 << 20),
        ("1.5 GiB", 3 << 29),
        (" 2TB ", 2 * 10**12),
        ("1kB", 1000),
    ],
)
def test_parse_size(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text",
    [
        *("", "MiB", "-1MiB", "1 GIB", "1mb", "1,5GiB", "1GiB extra", "1e3"),
        *("9" * 5000 + "MiB", "9" * 400 + ".5GiB"),
    ],
)
def test_not_a_size(text: str) -> None:
    with pytest.raises(BadInput, match="not a size"):
        parse_size(text)


def test_shares() -> None:
    assert parse_share("25%", 1000) == 250
    assert parse_share(" 12.5 % ", 1000) == 125
    assert parse_share("4kB", 1000) == 4000
    assert is_share("1%")
    assert not is_share("1MiB")
    for text in ("0%", "101%", "%", "-5%", "5%%"):
        with pytest.raises(BadInput, match="not a share"):
            parse_share(text, 1000)


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (1 << 40, "1 TiB")]
)
def test_human(size: int, text: str) -> None:
    assert human(size) == text


@given(st.integers(0, 1 << 60), st.integers(1, 1 << 30))
def test_alignment_brackets_a_size(size: int, step: int) -> None:
    low, high = align_down(size, step), align_up(size, step)
    assert low <= size <= high
    assert low % step == high % step == 0
    assert high - low in (0, step)


def test_sectors_are_whole() -> None:
    assert to_sectors(Bytes(8192), 4096) == 2
    with pytest.raises(ValueError, match="not whole sectors"):
        to_sectors(Bytes(512), 4096)
