# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernel command lines put together of what several people said. Pure."""

from collections.abc import Iterable


def merged(image: Iterable[str], layout: Iterable[str]) -> str:
    """The image's arguments, but for those of which the layout has a word of its own, and then the
    layout's. Of equal keys some programs take the first and some the last: so there are none.
    """
    own = list(layout)
    keys = {_key(word) for word in own}
    return " ".join([*(word for word in image if _key(word) not in keys), *own])


def _key(word: str) -> str:
    """`a-b` and `a_b` are the same to the kernel."""
    return word.partition("=")[0].replace("-", "_")
