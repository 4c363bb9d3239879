# SPDX-License-Identifier: GPL-2.0-or-later
"""Which versions of an image go, and why the others stay: decided here, removed elsewhere."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

from swarmstrap_server.images.library import Image
from swarmstrap_server.site.settings import Images

# By name and version: what a version is used for.
Uses = Mapping[tuple[str, str], str]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether an image stays, and why."""

    image: Image
    stays: bool
    reason: str


def judge(images: Iterable[Image], rules: Images, uses: Uses, now: datetime) -> Iterator[Verdict]:
    """A verdict on each of `images`, which come oldest first, as `ImageStore.ls` has them."""
    for _, group in groupby(images, key=lambda image: image.manifest.name):
        versions = list(group)
        for place, image in enumerate(reversed(versions), start=1):
            yield _judge(image, place, rules, uses, now)


def _judge(image: Image, place: int, rules: Images, uses: Uses, now: datetime) -> Verdict:
    """`place` counts from the newest version, which has 1."""
    use = uses.get((image.manifest.name, image.manifest.version))
    age = now - datetime.fromisoformat(image.manifest.created)
    if use is not None:
        return Verdict(image, True, use)
    if place <= rules.keep:
        return Verdict(image, True, f"one of the newest {rules.keep}")
    if age < timedelta(days=rules.keep_days):
        return Verdict(image, True, f"younger than {rules.keep_days} days")
    return Verdict(image, False, f"{place - 1} newer ones, {age.days} days old, not in use")
