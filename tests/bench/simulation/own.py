# SPDX-License-Identifier: GPL-2.0-or-later
"""A site of one's own, simulated.

build/venv/bin/python -m tests.bench.simulation.own --nodes 2000 --rack 40 --over 10
"""

import argparse
import statistics
import sys

from tests.bench.simulation.site import Behaviour, Image, Run, Site
from tests.bench.simulation.studies import GBIT
from tests.bench.simulation.swarm import simulate


def main() -> int:
    parser = argparse.ArgumentParser(prog="own", description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=int, required=True)
    parser.add_argument("--link", type=float, default=1.0, help="of a node, Gbit/s")
    parser.add_argument("--seeder-link", type=float, default=10.0, help="of a seeder, Gbit/s")
    parser.add_argument("--seeders", type=int, default=1)
    parser.add_argument("--rack", type=int, default=0, help="nodes in a rack; 0 is one switch")
    parser.add_argument("--over", type=float, default=1.0, help="oversubscription of its uplink")
    parser.add_argument("--size", type=float, default=2.0, help="of the image, compressed, GB")
    parser.add_argument("--pieces", type=int, default=1000)
    parser.add_argument("--leave", action="store_true", help="nodes leave when they are done")
    given = parser.parse_args()
    site = Site(
        nodes=given.nodes,
        link=given.link * GBIT,
        seeder_link=given.seeder_link * GBIT,
        seeders=given.seeders,
        rack_size=given.rack,
        oversubscription=given.over,
    )
    image = Image(int(given.size * 1e9), given.pieces)
    run = Run(site=site, image=image, behaviour=Behaviour(), leave=given.leave)
    outcome = simulate(run)
    seconds = sorted(outcome.seconds)
    print(f"first node  {seconds[0]:8.1f} s")
    print(f"median      {statistics.median(seconds):8.1f} s")
    print(f"last node   {seconds[-1]:8.1f} s, {seconds[-1] / run.bound:.2f} of {run.bound:.1f} s")
    print(f"seeders     {outcome.seeder_copies:8.2f} copies of the image")
    if site.rack_size:
        into = outcome.into_rack
        print(f"rack uplink {statistics.mean(into):8.2f} copies in, at most {max(into):.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
