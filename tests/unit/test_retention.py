# SPDX-License-Identifier: GPL-2.0-or-later
"""Old versions go when there are enough newer ones and nobody needs them."""

from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from swarmstrap.manifest import FORMAT, Facts, File, Manifest
from swarmstrap_server.control.nodes import Deployment, DeploymentState
from swarmstrap_server.control.store import Store
from swarmstrap_server.control.usage import uses
from swarmstrap_server.images.library import Image
from swarmstrap_server.images.retention import judge
from swarmstrap_server.site.paths import SitePaths
from swarmstrap_server.site.settings import Images

# Oldest first. n1 had version 1 before it had 2.
HISTORY: tuple[tuple[str, str, DeploymentState], ...] = (
    ("n1", "1", "deployed"),
    ("n1", "2", "deployed"),
    ("n2", "2", "deployed"),
    ("n2", "4", "failed"),
    ("n1", "3", "armed"),
    ("n3", "3", "active"),
    ("n4", "5", "expired"),
)
NOW = datetime(2026, 6, 30, tzinfo=UTC)


def image(name: str, version: str, days: int) -> Image:
    """As old as `days`."""
    manifest = Manifest(
        format=FORMAT,
        name=name,
        version=version,
        kind="tree",
        architecture="x86_64",
        created=f"{NOW - timedelta(days=days):%Y-%m-%dT%H:%M:%SZ}",
        entries=1,
        unpacked=0,
        index=File(0, ""),
        payload=File(0, ""),
        infohash="",
        facts=Facts(),
    )
    return Image(manifest, Path(name, version))


IMAGES = (
    image("a", "1", 1),
    *(image("b", str(6 - age), 10 * age) for age in (5, 4, 3, 2, 1)),
)


@pytest.mark.parametrize(
    ("rules", "uses", "going"),
    [
        (Images(), {}, ["b:1", "b:2"]),
        (Images(keep=1), {}, ["b:1", "b:2", "b:3", "b:4"]),
        (Images(keep=9), {}, []),
        (Images(keep=1, keep_days=31), {}, ["b:1", "b:2"]),
        (Images(keep=1), {("b", "2"): "tagged stable"}, ["b:1", "b:3", "b:4"]),
        (Images(keep=1), {("a", "2"): "tagged stable"}, ["b:1", "b:2", "b:3", "b:4"]),
    ],
)
def test_what_goes(rules: Images, uses: dict[tuple[str, str], str], going: list[str]) -> None:
    verdicts = list(judge(IMAGES, rules, uses, NOW))
    assert len(verdicts) == len(IMAGES)
    assert sorted(v.image.label for v in verdicts if not v.stays) == going


def test_what_is_in_use(tmp_path: Path) -> None:
    paths = SitePaths(tmp_path)
    assert uses(paths, {"b": {"stable": "1"}}) == {("b", "1"): "tagged stable"}
    with closing(Store(paths.database)) as store:
        for number, (node, version, state) in enumerate(HISTORY):
            deployment = Deployment(
                id=str(number),
                node=node,
                image="b",
                version=version,
                infohash="",
                payload=0,
                layout="",
                finish="reboot",
                armed_at=number,
                until=0,
                state=state,
            )
            store.save_deployment(deployment)
    assert uses(paths, {"b": {"stable": "2"}}) == {
        ("b", "2"): "tagged stable, deployed on n1 and 1 more",
        ("b", "3"): "armed for n1, being deployed to n3",
    }


def test_every_verdict_says_why() -> None:
    uses = {("b", "2"): "tagged stable, armed for n1"}
    reasons = {
        v.image.label: v.reason for v in judge(IMAGES, Images(keep=1, keep_days=25), uses, NOW)
    }
    assert reasons == {
        "a:1": "one of the newest 1",
        "b:5": "one of the newest 1",
        "b:4": "younger than 25 days",
        "b:3": "2 newer ones, 30 days old, not in use",
        "b:2": "tagged stable, armed for n1",
        "b:1": "4 newer ones, 50 days old, not in use",
    }
