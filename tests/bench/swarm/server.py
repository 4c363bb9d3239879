# SPDX-License-Identifier: GPL-2.0-or-later
"""The server of a swarm's benchmark, to which the machines are nodes that have their jobs.

python -m tests.bench.swarm.server SITE ADDRESS=RACK ...
"""

import asyncio
import contextlib
import sys
from dataclasses import replace
from pathlib import Path

from swarmstrap_server.control.store import Store
from swarmstrap_server.serve import listeners, make_services
from swarmstrap_server.site.reading import read_site
from swarmstrap_server.site.settings import Node


async def serve(root: Path, racks: dict[str, str]) -> None:
    """Until it is killed."""
    nodes = {f"n{n}": Node(name=f"n{n}", rack=rack) for n, rack in enumerate(racks.values(), 1)}
    site = replace(read_site(root), nodes=nodes)
    with contextlib.closing(Store(site.paths.database)) as store:
        services = make_services(site, store)
        services.members.update(zip(racks, nodes, strict=True))
        async with listeners(site, services):
            services.publish()
            await services.seeding.run()


if __name__ == "__main__":
    folder, *machines = sys.argv[1:]
    asyncio.run(serve(Path(folder), dict(machine.split("=") for machine in machines)))
