# SPDX-License-Identifier: GPL-2.0-or-later
"""What the server makes of an order to update: identifiers, layout and list of its origin."""

import dataclasses

import pytest
from msgspec.structs import replace
from tests.http.conftest import Live

from swarmstrap.errors import BadInput, Refused
from swarmstrap_server.control.jobs import make_job
from swarmstrap_server.control.nodes import Deployment, DeploymentState
from swarmstrap_server.control.operator_wire import Arm

UPDATE = Arm(nodes=("n1",), image="tiny", mode="update")


def order(live: Live, wanted: Arm = UPDATE) -> Deployment:
    (armed,) = live.services.deployments.arm(wanted)
    return armed


def ended(live: Live, deployment: Deployment, state: DeploymentState) -> Deployment:
    now = live.clock()
    done = replace(deployment, state=state, started=now, ended=now)
    live.services.deployments.store.save_deployment(done)
    live.clock.now += 1
    return done


async def test_an_update_begins_with_what_was_deployed(live: Live) -> None:
    first = ended(live, order(live, Arm(nodes=("n1",), image="tiny")), "deployed")
    update = order(live, replace(UPDATE, preserve=("/opt/data",), allow_older=True, verify="full"))
    assert (update.origin, update.layout) == (first.id, first.layout)
    assert update.id != first.id
    deployments = live.services.deployments
    image = deployments.images.get("tiny")
    job = make_job(deployments.site, image.directory, update, "")
    assert (job.mode, job.origin, job.allow_older, job.verify) == ("update", first.id, True, "full")
    assert job.preserve == ("/home", "/srv", "/mnt", "/media", "/opt/data")
    # The next one has the same origin, whatever became of this one.
    ended(live, update, "failed")
    assert order(live).origin == first.id


async def test_a_dry_run_and_a_disarmed_order_wrote_nothing(live: Live) -> None:
    first = ended(live, order(live, Arm(nodes=("n1",), image="tiny")), "deployed")
    ended(live, order(live, Arm(nodes=("n1",), image="tiny")), "planned")
    order(live, Arm(nodes=("n1",), image="tiny"))
    live.services.deployments.disarm(["n1"])
    assert order(live).origin == first.id


async def test_there_must_be_something_to_update(live: Live) -> None:
    with pytest.raises(Refused, match="nothing was deployed to n1 yet"):
        order(live)
    ended(live, order(live, Arm(nodes=("n1",), image="tiny")), "failed")
    with pytest.raises(Refused, match="tiny:1 that wrote the disks of n1 did not end well"):
        order(live)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"layout": "default"}, "an update keeps its partitions"),
        ({"preserve": ("opt",)}, "cannot preserve 'opt'"),
    ],
)
async def test_what_makes_no_sense(live: Live, change: dict[str, object], complaint: str) -> None:
    ended(live, order(live, Arm(nodes=("n1",), image="tiny")), "deployed")
    with pytest.raises(BadInput, match=complaint):
        order(live, replace(UPDATE, **change))


async def test_the_site_says_what_firmware_tries_first(live: Live) -> None:
    deployment = order(live, Arm(nodes=("n1",), image="tiny"))
    deployments = live.services.deployments
    site, image = deployments.site, deployments.images.get("tiny")
    assert make_job(site, image.directory, deployment, "").boot_order == "network-first"
    defaults = replace(site.settings.defaults, boot_order="disk-first")
    site = dataclasses.replace(site, settings=replace(site.settings, defaults=defaults))
    assert make_job(site, image.directory, deployment, "").boot_order == "disk-first"
