# SPDX-License-Identifier: GPL-2.0-or-later
"""The dashboard in headless Chromium: a thousand nodes, a keyboard, a telephone, an order."""

import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect
from tests.http.browser import Desk, desk
from tests.http.simulated.machines import name
from tests.http.simulated.telling import said

from swarmstrap.wire import Events
from swarmstrap_server.control.nodes import Deployment

pytestmark = pytest.mark.asyncio(loop_scope="module")

NODES = 1000
# Text and what is painted behind it, for everything that shows text of its own; in the page, for
# only there it is known what applies. Gradients count as the worse of their colours.
CONTRASTS = """
() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (color) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((c) => c / 255)
      .map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const ratio = (a, b) => {
    const [x, y] = [light(a), light(b)].sort((p, q) => q - p);
    return (x + 0.05) / (y + 0.05);
  };
  const behind = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const style = getComputedStyle(one);
      const painted = style.backgroundImage.match(/rgba?\\([^)]*\\)|color\\([^)]*\\)/g);
      if (painted) return painted.map(rgba);
      const color = rgba(style.backgroundColor);
      if (color[3] === 255) return [color];
    }
    return [[255, 255, 255, 255]];
  };
  const seen = new Map();
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    if (!own || !element.checkVisibility() || element.closest("svg, .skip, :disabled")) continue;
    const ink = rgba(getComputedStyle(element).color);
    const worst = Math.min(...behind(element).map((paper) => ratio(ink, paper)));
    const kind = element.closest("[data-kind]")?.dataset.kind ?? element.className;
    const key = `${element.tagName}.${kind}`;
    seen.set(key, Math.min(worst, seen.get(key) ?? 99));
  }
  return Object.fromEntries(seen);
}
"""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def fleet() -> AsyncIterator[Desk]:
    async with desk(NODES) as found:
        yield found


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def page(fleet: Desk) -> Page:
    """The fleet, as an operator has it open."""
    return await fleet.page("/")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def phone(fleet: Desk) -> Page:
    return await fleet.page("/", "viewer", width=360, height=780)


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def silence(fleet: Desk) -> AsyncIterator[None]:
    """No script fails, and nothing of the page breaks its own policy."""
    fleet.complaints.clear()
    yield
    assert fleet.complaints == []


def fetching(fleet: Desk) -> list[Deployment]:
    active = fleet.live.services.deployments.store.active()
    return sorted((d for d in active if d.phase == "image"), key=lambda d: d.node)


def fail(fleet: Desk, deployment: Deployment, sequence: int) -> None:
    live = fleet.live
    event = said(sequence, 1.0, "finish", "do/image/9", "the disk is gone", "fail")
    live.services.deployments.feed.take(deployment, Events(events=(event,)), live.clock.now)


async def test_who_has_a_token_gets_in(fleet: Desk) -> None:
    page = await fleet.browser.new_page(ignore_https_errors=True)
    await page.goto(f"{fleet.url}/nodes/{name(1)}")
    await expect(page).to_have_url(f"{fleet.url}/login")
    await page.fill("[name=token]", "viewer.wrong")
    await page.click("main button")
    await expect(page.locator("[role=alert]")).to_contain_text("no token of this site")
    await page.fill("[name=token]", fleet.token("viewer"))
    await page.click("main button")
    await expect(page.locator("h1")).to_have_text("Fleet")
    await page.click("text=Log out")
    await expect(page).to_have_url(f"{fleet.url}/login")
    await page.context.close()


async def test_a_thousand_nodes_are_cells_that_can_be_told_apart(page: Page) -> None:
    await expect(page.locator("#grid .cell")).to_have_count(NODES)
    await expect(page.locator("#stream")).to_have_text("live")
    shapes = await page.evaluate(
        """() => ["failed", "armed", "image", "deployed"].map((kind) => {
          const style = getComputedStyle(document.querySelector(`#grid [data-kind=${kind}]`));
          return `${style.borderRadius} ${style.clipPath}`;
        })"""
    )
    assert len(set(shapes)) == 4
    numbers = await page.locator(".chip .number").all_inner_texts()
    assert sum(map(int, numbers)) == NODES


async def test_a_cell_changes_and_nothing_moves(fleet: Desk, page: Page) -> None:
    one = fetching(fleet)[0]
    cell = page.locator(f"#cell-{one.node}")
    await expect(cell).to_have_attribute("data-kind", "image")
    chip = page.locator("#chip-failed .number")
    before, failed = await page.locator("#grid").bounding_box(), int(await chip.inner_text())
    fail(fleet, one, 1000)
    await expect(cell).to_have_attribute("data-kind", "failed")
    await expect(chip).to_have_text(str(failed + 1))
    await expect(page.locator("[data-part=troubles] li").first).to_contain_text(one.node)
    assert await page.locator("#grid").bounding_box() == before


async def test_filters_by_state_group_and_name(page: Page) -> None:
    shown = page.locator("#grid .cell:not([hidden])")
    await page.click("#chip-failed")
    failed = int(await page.locator("#chip-failed .number").inner_text())
    await expect(shown).to_have_count(failed)
    assert page.url.endswith("?state=failed")
    await page.click("#chip-failed")
    await page.select_option("#group", "r02")
    await expect(shown).to_have_count(50)
    await page.keyboard.press("/")
    await page.keyboard.type("n007")
    await expect(shown).to_have_count(10)
    await expect(page.locator("#shown")).to_have_text(f"10 of {NODES} nodes")
    await page.reload()
    await expect(shown).to_have_count(10)
    await page.fill("#search", "")
    await page.select_option("#group", "")
    await expect(shown).to_have_count(NODES)


async def test_the_grid_is_walked_with_keys(fleet: Desk, page: Page) -> None:
    await page.focus("#search")
    await page.keyboard.press("Enter")
    focused = page.locator(":focus")
    await expect(focused).to_have_id(f"cell-{name(1)}")
    await page.keyboard.press("ArrowRight")
    await page.keyboard.press("ArrowRight")
    await expect(focused).to_have_id(f"cell-{name(3)}")
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("ArrowUp")
    await expect(focused).to_have_id(f"cell-{name(3)}")
    await expect(page.locator("#about")).to_contain_text(name(3))
    await page.keyboard.press("Space")
    await expect(page.locator("#picked-count")).to_have_text(name(3))
    await page.keyboard.press("Space")
    await page.keyboard.press("End")
    await expect(focused).to_have_id(f"cell-{name(NODES)}")
    await page.keyboard.press("Enter")
    await page.wait_for_url(f"{fleet.url}/nodes/{name(NODES)}")
    await page.goto(fleet.url)


async def test_an_order_is_confirmed_in_writing_and_begins(fleet: Desk) -> None:
    page = await fleet.page("/")
    for number in (16, 32):
        await page.locator(f"#cell-{name(number)}").click(modifiers=["Shift"])
    await page.click("#picked form button")
    await page.select_option("[name=image]", "debian:12.8")
    await page.click("[name=look]")
    asked = page.locator("#asked")
    await expect(asked).to_contain_text("Wipe and deploy 2 nodes with debian:12.8")
    await expect(asked).to_contain_text("wipe /dev/nvme0n1")
    await asked.locator("button").click()
    sure = page.locator("#confirm-sure")
    await expect(page.locator("#confirm-names")).to_have_text(f"{name(16)} {name(32)}")
    await expect(sure).to_be_disabled()
    await page.fill("#confirm-typed", "3")
    await expect(sure).to_be_disabled()
    await page.fill("#confirm-typed", "2")
    await sure.click()
    await page.wait_for_url(re.compile(r"/rollouts/\w+$"))
    await expect(page.locator("h1")).to_have_text("debian:12.8 to 2 nodes")
    view = fleet.live.services.deployments.view
    assert [view(name(number)).state for number in (16, 32)] == ["armed", "armed"]
    await page.goto(f"{fleet.url}/nodes/{name(16)}")
    await page.get_by_role("button", name="Disarm…").click()
    await page.fill("#confirm-typed", name(16))
    await sure.click()
    await expect(page.get_by_role("button", name="Disarm…")).to_have_count(0)
    await page.context.close()
    assert view(name(16)).state == "deployed"


async def test_a_refusal_of_the_api_is_shown_where_it_was_asked(fleet: Desk) -> None:
    page = await fleet.page(f"/nodes/{name(48)}")
    await page.get_by_role("button", name="Deploy…").click()
    await page.click("[name=look]")
    await page.locator("#asked button").click()
    await page.fill("#confirm-typed", name(48))
    fleet.live.paths.initramfs.rename(fleet.live.paths.boot / "away")
    await page.click("#confirm-sure")
    await expect(page.locator("#confirm-problem")).to_contain_text("build it")
    (fleet.live.paths.boot / "away").rename(fleet.live.paths.initramfs)
    await page.context.close()
    # The browser notes a refusal of any request by itself.
    assert [line for line in fleet.complaints if "409" not in line] == []
    fleet.complaints.clear()


async def test_a_lost_stream_is_shown_and_found_again(fleet: Desk) -> None:
    page = await fleet.page("/", "viewer")
    sign = page.locator("#stream")
    await expect(sign).to_have_text("live")
    fleet.live.services.deployments.feed.end()
    await page.context.set_offline(True)
    await expect(sign).to_have_attribute("data-state", "lost")
    one = fetching(fleet)[0]
    fail(fleet, one, 1001)
    await page.context.set_offline(False)
    await expect(sign).to_have_text("live")
    await expect(page.locator(f"#cell-{one.node}")).to_have_attribute("data-kind", "failed")
    await page.context.close()
    fleet.complaints.clear()  # of the network that was away


@pytest.mark.parametrize("path", ["/", "/nodes/n0310", "/swarm", "/deployments", "/images"])
async def test_a_telephone_shows_all_of_it(fleet: Desk, phone: Page, path: str) -> None:
    await phone.goto(fleet.url + path)
    assert await phone.evaluate("document.documentElement.scrollWidth") == 360


@pytest.mark.parametrize("path", ["/nodes/n0310", "/deployments"])
async def test_a_telephone_gives_sentences_a_line_of_their_own(
    fleet: Desk, phone: Page, path: str
) -> None:
    await phone.goto(fleet.url + path)
    boxes = [
        await cell.bounding_box() for cell in await phone.locator(".folds .full:visible").all()
    ]
    assert boxes
    assert all(box and box["width"] > 250 and box["x"] + box["width"] <= 360 for box in boxes)


@pytest.mark.parametrize("path", ["/", "/nodes/n0310", "/swarm", "/deployments", "/images"])
async def test_text_stands_out_from_what_is_behind_it(fleet: Desk, phone: Page, path: str) -> None:
    await phone.emulate_media(color_scheme="light", reduced_motion="reduce")
    await phone.goto(fleet.url + path)
    await stands_out(phone)
    await phone.emulate_media(color_scheme="dark")
    await stands_out(phone)


async def stands_out(page: Page) -> None:
    found: dict[str, float] = await page.evaluate(CONTRASTS)
    assert len(found) > 5
    assert {what: ratio for what, ratio in found.items() if ratio < 4.5} == {}


async def test_the_switch_of_the_theme_is_remembered(fleet: Desk, page: Page) -> None:
    await page.emulate_media(color_scheme="light")
    await page.goto(fleet.url)
    await page.click("#theme")
    await page.reload()
    assert await page.evaluate("document.documentElement.dataset.theme") == "dark"
    await page.click("#theme")
