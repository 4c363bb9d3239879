# SPDX-License-Identifier: GPL-2.0-or-later
"""The server of a swarm's benchmark, to which the machines are nodes that have their jobs.

python -m tests.bench.swarm.server SITE SEEDER,SEEDER ADDRESS=RACK ...
"""

import asyncio
import contextlib
import signal
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from msgspec import structs

from swarmstrap_server.control.store import Store
from swarmstrap_server.serve import listeners, make_services
from swarmstrap_server.site.reading import read_site
from swarmstrap_server.site.settings import FurtherSeeder
from swarmstrap_server.site.words import Node


async def serve(root: Path, seeders: Iterable[str], racks: dict[str, str]) -> None:
    """Until SIGTERM; `seeders` are addresses of further ones, `racks` those of nodes. The server
    is in the first node's.
    """
    task = asyncio.current_task()
    assert task is not None
    # So that the seeder has ended when this process has.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    nodes = {f"n{n}": Node(name=f"n{n}", rack=rack) for n, rack in enumerate(racks.values(), 1)}
    site = read_site(root)
    swarm = structs.replace(
        site.settings.swarm,
        rack=nodes["n1"].rack,
        seeders=tuple(FurtherSeeder(address=seeder) for seeder in seeders),
    )
    site = replace(site, nodes=nodes, settings=structs.replace(site.settings, swarm=swarm))
    with contextlib.closing(Store(site.paths.database)) as store:
        services = make_services(site, store)
        services.members.update(zip(racks, nodes, strict=True))
        async with listeners(site, services):
            services.publish()
            await services.seeding.run()


if __name__ == "__main__":
    folder, further, *machines = sys.argv[1:]
    known = dict(machine.split("=") for machine in machines)
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(serve(Path(folder), filter(None, further.split(",")), known))
