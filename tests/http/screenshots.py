# SPDX-License-Identifier: GPL-2.0-or-later
"""The pictures of docs/dashboard.md: `python -m tests.http.screenshots --out docs/pictures`."""

import argparse
import asyncio
from dataclasses import dataclass
from pathlib import Path

from playwright.async_api import expect
from tests.http.browser import Desk, desk
from tests.http.simulated.fleet import rollout
from tests.http.simulated.telling import tell_story

NODES = 1000
NODE = "n0520"  # fetches its image at that moment


@dataclass(frozen=True)
class Picture:
    """`whole` is for all of a page, else as much as the window shows."""

    name: str
    path: str
    width: int = 1360
    height: int = 860
    dark: bool = False
    whole: bool = False


PICTURES = (
    Picture("fleet", "/"),
    Picture("fleet-dark", "/", dark=True),
    Picture("fleet-phone", "/", width=360, height=780),
    Picture("node", f"/nodes/{NODE}", whole=True),
    Picture("node-phone-dark", f"/nodes/{NODE}", width=360, height=780, dark=True),
    Picture("swarm", "/swarm", whole=True),
    Picture("deployments", "/deployments", height=600),
    Picture("rollout", "/rollouts/{rollout}"),
    Picture("deploy", "/deploy?nodes=n0016+n0032+n0048+n0064&image=debian:12.8&look=1", whole=True),
)


async def take(out: Path) -> None:
    async with desk(NODES) as here:
        services = here.live.services
        tell_story(services, NODE)
        key = rollout(services)
        for picture in PICTURES:
            await _take(here, picture, picture.path.replace("{rollout}", key), out)
        if here.complaints:
            raise SystemExit("\n".join(here.complaints))


async def _take(here: Desk, picture: Picture, path: str, out: Path) -> None:
    page = await here.page(path, width=picture.width, height=picture.height, dark=picture.dark)
    if await page.locator("body[data-live]").count():
        await expect(page.locator("#stream")).to_have_text("live")
    file = out / f"dashboard-{picture.name}.png"
    await page.screenshot(path=file, full_page=picture.whole)
    await page.context.close()
    print(file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    asyncio.run(take(parser.parse_args().out))


if __name__ == "__main__":
    main()
