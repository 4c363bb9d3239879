# SPDX-License-Identifier: GPL-2.0-or-later
"""All machines of a site: who switches which, one question at a time for each BMC."""

import asyncio
from collections.abc import Callable

from swarmstrap.errors import Refused, SwarmstrapError
from swarmstrap_server.power.driver import Driver
from swarmstrap_server.power.drivers import driver_of
from swarmstrap_server.power.orders import PowerOrder, PowerResult
from swarmstrap_server.power.switching import Waits, start_anew, turn_off, turn_on
from swarmstrap_server.power.words import NoPower
from swarmstrap_server.site.reading import Site


class Switchboard:
    """`site` gives the site as it is now."""

    def __init__(self, site: Callable[[], Site], waits: Waits | None = None) -> None:
        self._site = site
        self._waits = waits or Waits()
        self._busy: dict[str, asyncio.Lock] = {}

    def switches(self, node: str) -> bool:
        """Whether there is anything to switch this node with."""
        spec = self._site().nodes.get(node)
        return spec is not None and not isinstance(spec.power, NoPower)

    def kind(self, node: str) -> str:
        """The driver's word, as in the files."""
        spec = self._site().nodes.get(node)
        return str(spec.power.__struct_config__.tag) if spec is not None else "none"

    async def start(self, node: str) -> None:
        """So that it boots, from the network if it can be told. Raises PowerFailed or Refused."""
        driver = self._driver(node)
        async with self._lock(driver):
            await start_anew(driver, self._waits)

    async def carry_out(self, order: PowerOrder, node: str) -> PowerResult:
        """One node of an order; what goes wrong is in the result."""
        kind = self.kind(node)
        try:
            driver = self._driver(node)
            async with self._lock(driver):
                await self._act(driver, order)
                state = await driver.state()
        except SwarmstrapError as error:
            return PowerResult(
                node=node, driver=kind, state="unknown", reason=error.message, hint=error.hint
            )
        return PowerResult(node=node, driver=kind, state=state)

    async def _act(self, driver: Driver, order: PowerOrder) -> None:
        match order.action:
            case "on":
                await turn_on(driver, self._waits)
            case "off":
                await turn_off(driver, self._waits, hard=order.hard)
            case "cycle" if driver.knows_state:
                if await driver.state() != "off":
                    await turn_off(driver, self._waits, hard=order.hard)
                await turn_on(driver, self._waits)
            case "cycle":
                await start_anew(driver, self._waits)
            case "status":
                pass

    def _driver(self, node: str) -> Driver:
        site = self._site()
        spec = site.nodes.get(node)
        driver = driver_of(spec, site.paths.root) if spec is not None else None
        if driver is None:
            raise Refused(
                f"nothing switches node {node}", hint="write power into its file, or its group's"
            )
        return driver

    def _lock(self, driver: Driver) -> asyncio.Lock:
        return self._busy.setdefault(driver.bmc, asyncio.Lock())
