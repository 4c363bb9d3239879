# SPDX-License-Identifier: GPL-2.0-or-later
"""A server with a simulated fleet, and headless Chromium in front of it."""

import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright, expect
from tests.http.conftest import ADDRESS, Live, make_servable, make_system, serving
from tests.http.simulated.fleet import deploy
from tests.http.simulated.machines import node_files

from swarmstrap_server.api.auth import COOKIE
from swarmstrap_server.control.operator_wire import Role
from swarmstrap_server.images.library import ImageStore
from swarmstrap_server.images.publish import publish
from swarmstrap_server.images.signing import Key
from swarmstrap_server.images.sources.directory import Directory
from swarmstrap_server.site import making as newsite
from swarmstrap_server.site.paths import SitePaths

# Seconds into a deployment at which every phase has nodes.
AMID = 265.0
# Of patience, in Playwright's milliseconds: virtual nodes may be busy beside.
PATIENCE = 60_000
LAYOUT = """\
disks:
- id: system
  match: {tran: nvme}
  prefer: smallest
  wipe: ordinary
  partitions:
  - {label: ESP, type: esp, size: 512MiB, format: vfat, mount: /boot/efi}
  - {label: root, type: root, size_min: 1GiB, weight: 1, format: ext4, mount: /}
"""


@dataclass
class Desk:
    """An operator's: `complaints` is all that any page wrote to its console as an error."""

    live: Live
    browser: Browser
    url: str
    complaints: list[str] = field(default_factory=list)

    async def page(
        self,
        path: str,
        role: Role = "operator",
        *,
        width: int = 1360,
        height: int = 860,
        dark: bool = False,
    ) -> Page:
        """A page as somebody of `role` sees it who has logged in."""
        context = await self.browser.new_context(
            ignore_https_errors=True,
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
        )
        context.set_default_timeout(PATIENCE)
        page = await context.new_page()
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        access = self.live.services.access
        cookie = access.login(self.token(role))
        await context.add_cookies(
            [{"name": COOKIE, "value": cookie, "url": self.url, "secure": True}]
        )
        await page.goto(self.url + path)
        return page

    def token(self, role: Role) -> str:
        access = self.live.services.access
        taken = {token.name for token in access.tokens()}
        return access.add(f"{role}-{len(taken)}", role)

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.complaints.append(message.text)


@contextlib.asynccontextmanager
async def desk(nodes: int) -> AsyncIterator[Desk]:
    with tempfile.TemporaryDirectory(prefix="ss-") as folder:
        site = make_site(Path(folder), nodes)
        async with serving(site) as live, async_playwright() as playwright:
            deploy(live, nodes, AMID)
            expect.set_options(timeout=PATIENCE)
            browser = await playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox"]
            )
            try:
                yield Desk(live, browser, live.services.deployments.site.operator_url)
            finally:
                await browser.close()


def make_site(folder: Path, nodes: int) -> SitePaths:
    """With two versions of an image, and layouts for the disks that the nodes have."""
    paths = SitePaths(folder / "site")
    newsite.init(paths.root, "test", [ADDRESS], None)
    make_servable(paths)
    paths.settings.write_text(paths.settings.read_text().replace("name: test", "name: cluster-a"))
    listed, groups = node_files(nodes)
    (paths.root / "nodes" / "lab.yaml").write_text(listed)
    (paths.root / "groups.yaml").write_text(groups)
    (paths.root / "layouts" / "default.yaml").write_text(LAYOUT)
    system, key = make_system(folder / "system"), Key(paths.publisher)
    for version in ("12.7", "12.8"):
        publish(Directory(system), "debian", version, ImageStore(paths.images), key)
    return paths
