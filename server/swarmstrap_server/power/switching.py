# SPDX-License-Identifier: GPL-2.0-or-later
"""Switching as it is meant: asked, waited for, and insisted upon. Each wait has an end."""

import asyncio
from dataclasses import dataclass

from swarmstrap.errors import Refused
from swarmstrap_server.power.driver import Deed, Driver, PowerFailed
from swarmstrap_server.power.orders import PowerState


@dataclass(frozen=True, slots=True)
class Waits:
    """Seconds: a system shuts down within `off`, a machine obeys within `kill` and `on`; it is
    asked every `poll`.
    """

    off: float = 60.0
    kill: float = 30.0
    on: float = 30.0
    poll: float = 2.0


async def turn_on(driver: Driver, waits: Waits) -> None:
    """Raises PowerFailed when it is not on in time, Refused when nobody can switch it on."""
    _check_can(driver, "on")
    await driver.do("on")
    if driver.knows_state:
        await _reached(driver, "on", waits.on, waits.poll)


async def turn_off(driver: Driver, waits: Waits, *, hard: bool = False) -> None:
    """The system is asked to stop, and after a while not asked any more; `hard` begins there.

    Raises PowerFailed when it is still on then, Refused when nobody can switch it off.
    """
    steps: list[tuple[Deed, float]] = [("off", waits.off), ("kill", waits.kill)]
    known = [(deed, seconds) for deed, seconds in steps if deed in driver.can]
    if hard:
        known = [step for step in known if step[0] == "kill"]
    if not known:
        _check_can(driver, "kill" if hard else "off")
    for deed, seconds in known:
        last = deed == known[-1][0]
        try:
            await driver.do(deed)
            if driver.knows_state:
                await _reached(driver, "off", seconds, waits.poll)
        except PowerFailed:
            if last:
                raise
        else:
            return


async def start_anew(driver: Driver, waits: Waits) -> None:
    """Off, if it is on, and on again, from the network where the driver can say so.

    Raises as the others do.
    """
    if "network" in driver.can:
        await driver.do("network")
    if not driver.knows_state:
        await driver.do("cycle" if "cycle" in driver.can else _check_can(driver, "on"))
        return
    if await driver.state() != "off":
        await turn_off(driver, waits)
    await turn_on(driver, waits)


def _check_can(driver: Driver, deed: Deed) -> Deed:
    if deed not in driver.can:
        raise Refused(
            f"{driver.bmc} has no way to do this: {deed}", hint="see power in the node's file"
        )
    return deed


async def _reached(driver: Driver, wanted: PowerState, seconds: float, poll: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            state = await driver.state()
            while state != wanted:
                await asyncio.sleep(poll)
                state = await driver.state()
    except TimeoutError as error:
        raise PowerFailed(
            f"{driver.bmc} was asked, and the machine is not {wanted} after {seconds:.0f} s",
            hint="look at the machine, or at its BMC's own page",
        ) from error
