# SPDX-License-Identifier: GPL-2.0-or-later
"""What every way of switching a machine has in common."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Literal, ParamSpec, Protocol, TypeVar

from swarmstrap.errors import Unreachable
from swarmstrap_server.power.orders import PowerState

P = ParamSpec("P")
T = TypeVar("T")

# As in `words.Ssh`: `off` asks the system, `kill` does not.
Deed = Literal["on", "off", "kill", "cycle", "network"]

# BMCs that are asked at the same time; each waits in a thread of its own.
_THREADS = ThreadPoolExecutor(64, thread_name_prefix="power")


class PowerFailed(Unreachable):
    """A machine could not be switched, or what switches it not be asked."""


class Driver(Protocol):
    """One machine. `bmc` names what is asked, which answers one question at a time. Each call ends
    within half a minute, and raises PowerFailed, or BadInput for what the site says wrongly.
    """

    @property
    def bmc(self) -> str: ...

    @property
    def can(self) -> frozenset[Deed]: ...

    @property
    def knows_state(self) -> bool: ...

    async def do(self, deed: Deed) -> None:
        """Ask for it; what `can` has not is not asked for. The machine may take its time."""

    async def state(self) -> PowerState: ...


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_THREADS, partial(function, *args, **kwargs))
