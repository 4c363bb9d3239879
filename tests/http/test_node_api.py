# SPDX-License-Identifier: GPL-2.0-or-later
"""The node API over TLS, asked by the agent's own client: who gets a job, and who does not."""

import asyncio

import msgspec
import pytest
from tests.http.agents import OTHER_MAC, arm, begin, finish, notes, start
from tests.http.conftest import CLAIM, UUID, Live, register

from swarmstrap import wire
from swarmstrap.effects.http import NodeApi
from swarmstrap.errors import Refused, Untrusted
from swarmstrap.manifest import HOOK_NAMESPACE, parse_manifest
from swarmstrap.wire import Events, PlanReport, Seeding
from swarmstrap_server.images.signing import Key
from swarmstrap_server.site import pki


async def test_a_machine_nobody_armed_is_known_from_then_on_and_gets_no_token(live: Live) -> None:
    registered = await live.api.register(register(mac="52:54:00:ff:ff:01"), patience=0)
    assert registered.node == "node-525400ffff01"
    assert registered.token == ""
    assert "swarmstrap deploy IMAGE --to node-525400ffff01" in registered.reason
    assert live.services.deployments.view(registered.node).state == "discovered"


async def test_an_armed_node_gets_its_job_and_is_deploying(live: Live) -> None:
    arm(live, "n1")
    registered = await live.api.register(register(), patience=0)
    job = await live.api.job(registered.token, patience=0)
    assert job.node == "n1"
    assert job.hostname == "n1.example"
    assert job.layout.kernel_arguments == "console=ttyS1"
    assert parse_manifest(job.manifest).name == "tiny"
    assert job.signature.startswith(b"-----BEGIN SSH SIGNATURE-----")
    assert job.trackers == (f"{live.boot}/announce",)
    assert live.services.deployments.view("n1").state == "deploying"


async def test_what_the_node_says_of_itself_holds_before_what_the_site_says(live: Live) -> None:
    arm(live, "n2")
    seen = register(mac="52:54:00:00:00:02", uuid=UUID.upper())
    job = await live.api.job((await live.api.register(seen, patience=0)).token, patience=0)
    assert job.finish == "kexec"


async def test_a_token_buys_one_job(live: Live) -> None:
    arm(live, "n1")
    token = (await live.api.register(register(), patience=0)).token
    await live.api.job(token, patience=0)
    with pytest.raises(Refused, match="token was already used at 2027-") as refused:
        await live.api.job(token, patience=0)
    assert "swarmstrap deploy tiny:1 --to n1" in refused.value.hint
    assert notes(live)[-1] == "server/refused"


async def test_of_two_who_come_with_one_token_at_once_one_gets_the_job(live: Live) -> None:
    arm(live, "n1")
    token = (await live.api.register(register(), patience=0)).token
    tries = [live.api.job(token, patience=0) for _ in range(5)]
    outcomes = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(outcome, wire.Job) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, Refused) for outcome in outcomes) == 4


async def ask_for_job(live: Live, token: str, claim: str) -> tuple[int, bytes]:
    """As an agent does, and as one that tries again after a lost answer."""
    headers = {"Authorization": f"Bearer {token}"}
    data = msgspec.json.encode(wire.Claim(claim=claim))
    async with live.http.post(live.node + wire.JOB, headers=headers, data=data) as response:
        return response.status, await response.read()


async def test_whoever_lost_the_answer_gets_it_again_with_another_session(live: Live) -> None:
    arm(live, "n1")
    token = (await live.api.register(register(), patience=0)).token
    answers = []
    for _ in range(2):
        status, body = await ask_for_job(live, token, CLAIM)
        assert status == 200
        answers.append(msgspec.json.decode(body, type=wire.Job))
        live.clock.now += 60
    first, second = answers
    assert (first.deployment, first.manifest) == (second.deployment, second.manifest)
    with pytest.raises(Untrusted):
        live.services.deployments.session(first.session)
    assert live.services.deployments.session(second.session).id == second.deployment


@pytest.mark.parametrize(("claim", "seconds"), [("another boot's word", 0), (CLAIM, 91)])
async def test_nobody_else_and_nobody_later_gets_it_again(
    live: Live, claim: str, seconds: int
) -> None:
    arm(live, "n1")
    token = (await live.api.register(register(), patience=0)).token
    assert (await ask_for_job(live, token, CLAIM))[0] == 200
    live.clock.now += seconds
    status, body = await ask_for_job(live, token, claim)
    assert status == 403
    assert b"token was already used at 2027-" in body


async def test_a_claim_is_worth_nothing_once_the_deployment_has_ended(live: Live) -> None:
    arm(live, "n1")
    token = (await live.api.register(register(), patience=0)).token
    _, body = await ask_for_job(live, token, CLAIM)
    session = live.services.deployments.session(msgspec.json.decode(body, type=wire.Job).session)
    live.services.deployments.feed.take(session, Events(events=(finish(1, "do/finish/9"),)), 1.0)
    assert (await ask_for_job(live, token, CLAIM))[0] == 403


async def test_a_token_expires(live: Live) -> None:
    arm(live, "n1")
    token = (await live.api.register(register(), patience=0)).token
    live.clock.now += 601
    with pytest.raises(Refused, match="token expired at "):
        await live.api.job(token, patience=0)
    assert notes(live)[-1] == "server/refused"
    assert live.services.deployments.view("n1").state == "armed"


async def test_a_token_of_nobody(live: Live) -> None:
    with pytest.raises(Refused, match="token is not one of this server"):
        await live.api.job("guessed", patience=0)


async def test_an_arming_expires(live: Live) -> None:
    arm(live, "n1", minutes=1)
    live.clock.now += 61
    registered = await live.api.register(register(), patience=0)
    assert registered.token == ""
    assert registered.reason.startswith("the arming for tiny:1 expired at ")
    assert live.services.deployments.view("n1").state == "ready"
    assert notes(live) == ["server/armed", "server/expired", "server/not-armed"]


async def test_a_token_is_worth_nothing_once_the_operator_disarms(live: Live) -> None:
    arm(live, "n1")
    token = (await live.api.register(register(), patience=0)).token
    live.services.deployments.disarm(["n1"])
    with pytest.raises(Refused, match="the arming is gone: disarmed by the operator"):
        await live.api.job(token, patience=0)


async def test_a_node_that_was_deployed_is_not_armed_any_more(live: Live) -> None:
    api, _ = await begin(live)
    await api.send(Events(events=(finish(1, "do/finish/9"),)))
    await api.close()
    registered = await live.api.register(register(), patience=0)
    assert (registered.token, live.services.deployments.view("n1").state) == ("", "deployed")


async def test_the_mac_of_a_node_with_the_uuid_of_another_machine_is_a_stranger(live: Live) -> None:
    arm(live, "n2")
    stranger = register(mac="52:54:00:00:00:02", uuid="00000000-1111-2222-3333-444444444444")
    registered = await live.api.register(stranger, patience=0)
    assert (registered.node, registered.token) == ("node-525400000002", "")


async def test_a_machine_that_fits_two_nodes_is_refused(live: Live) -> None:
    seen = register()
    theirs = register(mac=OTHER_MAC).inventory.interfaces
    nics = (*seen.inventory.interfaces, *theirs)
    inventory = msgspec.structs.replace(seen.inventory, interfaces=nics)
    both = wire.Register(inventory=inventory, boot_id="b", version="0")
    with pytest.raises(Refused, match="fits 2 nodes: n1, n3"):
        await live.api.register(both, patience=0)


async def test_hooks_travel_with_their_signatures_and_unsigned_ones_stop_the_arming(
    live: Live,
) -> None:
    hook = live.paths.root / "hooks" / "chroot" / "10-motd"
    hook.write_bytes(b"#!/bin/sh\n")
    with pytest.raises(Untrusted, match="hook 10-motd: the hook has no signature"):
        arm(live, "n1")
    signature = Key(live.paths.publisher).sign(hook.read_bytes(), HOOK_NAMESPACE)
    hook.with_name("10-motd.sig").write_bytes(signature)
    api, job = await begin(live)
    await api.close()
    assert [(h.name, h.where, h.content, h.signature) for h in job.hooks] == [
        ("10-motd", "chroot", b"#!/bin/sh\n", signature)
    ]


async def test_events_are_taken_once_however_often_they_are_sent(live: Live) -> None:
    api, job = await begin(live)
    batch = Events(events=(start(1, "do/disks/1"), finish(4, "do/disks/1")))
    before = len(notes(live))
    for _ in range(3):
        await api.send(batch)
    await api.send(Events(events=(*batch.events, start(5, "do/image/2"))))
    await api.close()
    assert notes(live)[before:] == ["do/disks/1", "do/disks/1", "do/image/2"]
    deployment = live.services.deployments.store.deployment(job.deployment)
    assert deployment is not None
    assert deployment.phases == {"disks": 3.0}
    assert deployment.phase == "image"


async def test_a_failure_is_the_nodes_state_with_reason_and_hint(live: Live) -> None:
    api, _ = await begin(live)
    failure = finish(1, "do/hooks/7", result="fail", description="hook 10-x exited 3", hint="mend")
    await api.send(Events(events=(failure,)))
    await api.close()
    view = live.services.deployments.view("n1")
    assert view.deployment is not None
    assert (view.state, view.deployment.reason, view.deployment.hint) == (
        "failed",
        "hook 10-x exited 3",
        "mend",
    )


async def test_a_plan_is_kept(live: Live) -> None:
    api, job = await begin(live)
    plan = PlanReport(digest="abc", lines=("wipe it",))
    await api.report_plan(plan, patience=0)
    await api.close()
    assert live.services.deployments.store.plan(job.deployment) == plan


async def test_a_node_seeds_until_those_that_deploy_the_same_image_have_it(live: Live) -> None:
    first, _ = await begin(live)
    second, _ = await begin(live, "n3", OTHER_MAC)
    stay = await first.seeding(Seeding(uploaded=7, peers=1))
    assert (stay.leave, stay.reason) == (False, "still without the image: n3")
    await second.send(Events(events=(start(1, "do/image/5"), finish(2, "do/image/5"))))
    assert (await first.seeding(Seeding(uploaded=8, peers=1))).leave
    assert live.services.members == {"127.0.0.1": "n1"}
    await first.close()
    await second.close()


async def test_a_node_that_fell_silent_keeps_nobody(live: Live) -> None:
    first, _ = await begin(live)
    second, _ = await begin(live, "n3", OTHER_MAC)
    await second.close()
    live.clock.now += 61
    assert (await first.seeding(Seeding(uploaded=0, peers=0))).leave
    await first.close()


async def test_a_node_that_says_nothing_for_a_quarter_of_an_hour_has_failed(live: Live) -> None:
    api, _ = await begin(live)
    await api.close()
    live.clock.now += 901
    live.services.deployments.tick()
    deployment = live.services.deployments.view("n1").deployment
    assert deployment is not None
    assert deployment.reason == "no word from the node for 15 minutes, last phase ask"


@pytest.mark.parametrize("path", [wire.EVENTS, wire.PLAN, wire.SEEDING, wire.JOB])
async def test_no_bearer_and_a_wrong_one_are_refused(live: Live, path: str) -> None:
    body = msgspec.json.encode(wire.Claim(claim=CLAIM))
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic eDp5"}):
        async with live.http.post(live.node + path, headers=headers, data=body) as response:
            assert response.status == 403
            assert msgspec.json.decode(await response.read(), type=wire.Problem).error


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"boot_id": 1}', b'{"boot_id": "\xff"}', b'{"\xff": 1}', b"\xff"]
)
async def test_a_body_that_is_no_request_gets_one_line(live: Live, body: bytes) -> None:
    async with live.http.post(live.node + wire.REGISTER, data=body) as response:
        assert response.status == 400
        problem = msgspec.json.decode(await response.read(), type=wire.Problem)
    assert problem.error.startswith("/v1/register does not understand this: ")


async def test_an_agent_with_another_sites_ca_speaks_to_nobody(
    live: Live, template: object
) -> None:

    foreign = live.paths.root / "foreign.crt"
    foreign.write_bytes(pki.make_ca("other").certificate)
    async with NodeApi(live.node, foreign, retrying=lambda *_: None) as api:
        with pytest.raises(Untrusted, match="is not this site's server"):
            await api.register(register(), patience=0)
