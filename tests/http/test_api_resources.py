# SPDX-License-Identifier: GPL-2.0-or-later
"""What the API shows: pages that miss nothing, documents with ETags, and errors as problems."""

import msgspec
import pytest
from tests.http.api import Api, Json, make_api
from tests.http.conftest import MAC, Live, register

from swarmstrap.wire import PlanReport
from swarmstrap_server.api.listener import MAX_BODY
from swarmstrap_server.control.nodes import Deployment
from swarmstrap_server.control.operator_wire import (
    BASE,
    Arm,
    DeploymentsPage,
    EventsPage,
    NodeDocument,
    NodesPage,
    ProblemDetails,
    SiteSummary,
)
from swarmstrap_server.images.listing import Listed


@pytest.fixture
def api(live: Live) -> Api:
    return make_api(live)


async def get(api: Api, path: str) -> Json:
    answer = await api.ask("GET", path, "viewer")
    assert answer.status == 200, answer.value
    return answer.value


async def test_nodes_in_pages_while_others_register(api: Api) -> None:
    page = msgspec.convert(await get(api, "/nodes?limit=2"), NodesPage)
    assert [node.name for node in page.items] == ["n1", "n2"]
    api.live.services.deployments.register(register("52:54:00:aa:bb:cc"), "192.0.2.9")
    page = msgspec.convert(await get(api, f"/nodes?limit=2&after={page.next}"), NodesPage)
    assert [node.name for node in page.items] == ["n3", "node-525400aabbcc"]
    assert page.next == ""


async def test_nodes_of_one_state(api: Api) -> None:
    api.live.services.deployments.arm(Arm(nodes=("n2",), image="tiny"))
    page = msgspec.convert(await get(api, "/nodes?state=armed"), NodesPage)
    assert [node.name for node in page.items] == ["n2"]


async def test_a_node(api: Api) -> None:
    deployments = api.live.services.deployments
    assert msgspec.convert(await get(api, "/nodes/n1"), NodeDocument).inventory is None
    (armed,) = deployments.arm(Arm(nodes=("n1",), image="tiny"))
    deployments.register(register(MAC), "192.0.2.9")
    deployments.store.save_plan(armed.id, PlanReport(digest="d" * 64, lines=("make a disk",)))
    node = msgspec.convert(await get(api, "/nodes/n1"), NodeDocument)
    assert node.inventory is not None
    assert node.plan is not None
    assert [record.event.name for record in node.events] == ["server/armed", "server/registered"]


async def test_events_in_pages_while_more_come(api: Api) -> None:
    feed = api.live.services.deployments.feed
    for number in range(5):
        feed.note("n1", f"note-{number}", "", 0.0)
        feed.note("n2", "other", "", 0.0)
    names, after = [], ""
    while True:
        page = msgspec.convert(
            await get(api, f"/nodes/n1/events?limit=2&after={after or 0}"), EventsPage
        )
        names += [record.event.name for record in page.items]
        feed.note("n1", f"late-{len(names)}", "", 0.0) if len(names) < 5 else None
        after = page.next
        if not after:
            break
    assert names == [*(f"server/note-{n}" for n in range(5)), "server/late-2", "server/late-4"]


async def test_deployments_newest_first_in_pages_while_more_are_armed(api: Api) -> None:
    deployments = api.live.services.deployments
    armed = []
    for _ in range(2):
        armed += deployments.arm(Arm(nodes=("n1", "n2", "n3"), image="tiny"))
        api.live.clock.now += 1
    seen, after = [], ""
    while True:
        page = msgspec.convert(
            await get(api, f"/deployments?limit=2&after={after}"), DeploymentsPage
        )
        seen += [one.id for one in page.items]
        deployments.arm(Arm(nodes=("n1",), image="tiny"))
        after = page.next
        if not after:
            break
    assert sorted(seen) == sorted(one.id for one in armed)
    newest = {one.id for one in armed[3:]}
    assert set(seen[:3]) == newest


async def test_deployments_of_one_node_and_one_state(api: Api) -> None:
    deployments = api.live.services.deployments
    for _ in range(2):
        deployments.arm(Arm(nodes=("n1", "n2"), image="tiny"))
        api.live.clock.now += 1
    found = await get(api, "/deployments?node=n1&state=disarmed")
    (one,) = msgspec.convert(found, DeploymentsPage).items
    assert (one.node, one.reason) == ("n1", "replaced by a new arming")
    again = msgspec.convert(await get(api, f"/deployments/{one.id}"), Deployment)
    assert again == one


async def test_images_and_site(api: Api) -> None:
    (image,) = msgspec.convert(await get(api, "/images"), list[Listed])
    assert (image.image, image.refused) == ("tiny:1", "")
    assert msgspec.convert(await get(api, "/images/tiny/1"), Listed) == image
    site = msgspec.convert(await get(api, "/site"), SiteSummary)
    assert (site.nodes, site.states, site.layouts) == (3, {"ready": 3}, ("default",))


async def test_a_document_that_is_as_before_is_not_sent_again(api: Api) -> None:
    first = await api.ask("GET", "/nodes/n1", "viewer")
    tag = {"If-None-Match": first.headers["ETag"]}
    assert (await api.ask("GET", "/nodes/n1", "viewer", headers=tag)).status == 304
    api.live.services.deployments.arm(Arm(nodes=("n1",), image="tiny"))
    again = await api.ask("GET", "/nodes/n1", "viewer", headers=tag)
    assert again.status == 200
    assert again.headers["ETag"] != first.headers["ETag"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "told"),
    [
        ("GET", "/nodes/n22", None, 404, "did you mean 'n2'"),
        ("GET", "/nodes/n22/events", None, 404, "there is no node"),
        ("GET", "/deployments/none", None, 404, "there is no deployment none"),
        ("GET", "/images/tiny/9", None, 404, "there is no image tiny:9"),
        ("GET", "/nodes?limit=0", None, 400, "limit"),
        ("GET", "/nodes?limit=x", None, 400, "limit"),
        ("GET", "/nodes?stat=armed", None, 400, "unknown field `stat`"),
        ("GET", "/deployments?after=none", None, 400, "no deployment none to go on from"),
        ("POST", "/deployments", {"nodes": ["n1"], "imaeg": "tiny"}, 400, "imaeg"),
        ("POST", "/deployments", {"nodes": "n1", "image": "tiny"}, 400, "nodes"),
        ("POST", "/deployments", b"\xff", 400, "body"),
        ("GET", "/site?after=n1", None, 400, "takes no query, and got 'after=n1'"),
        ("GET", "/site", {"after": "n1"}, 400, "takes no body"),
        ("POST", "/deployments", {"nodes": ["n4"], "image": "tiny"}, 400, "no node 'n4'"),
        ("POST", "/disarm", {"nodes": ["n4"]}, 400, "no node 'n4'"),
    ],
)
async def test_what_is_wrong_is_a_problem_in_one_line(
    api: Api, method: str, path: str, body: object, status: int, told: str
) -> None:
    answer = await api.ask(method, path, "operator", body)
    problem = msgspec.convert(answer.value, ProblemDetails)
    assert (answer.status, problem.status) == (status, status)
    assert told in problem.detail
    assert "\n" not in problem.detail


@pytest.mark.parametrize(
    ("method", "path", "size", "status", "allow"),
    [
        ("GET", "/nothing", 0, 404, None),
        ("PUT", "/nodes", 0, 405, "GET"),
        ("POST", "/deployments", MAX_BODY + 1, 413, None),
    ],
)
async def test_what_the_router_refuses_is_a_problem_too(
    api: Api, method: str, path: str, size: int, status: int, allow: str | None
) -> None:
    bearer = {"Authorization": f"Bearer {api.tokens['admin']}"}
    async with api.live.http.request(
        method, api.url + BASE + path, data=b"x" * size, headers=bearer
    ) as response:
        problem = msgspec.json.decode(await response.read(), type=ProblemDetails)
    assert (response.status, problem.status) == (status, status)
    assert response.content_type == "application/problem+json"
    assert response.headers.get("Allow") == allow
