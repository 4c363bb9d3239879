# SPDX-License-Identifier: GPL-2.0-or-later
"""Swarms of 30 to 10,000 nodes, simulated with the server's own policy.

    make bench-simulation [MOST=1000]

Rows go to build/bench/simulation.json as they come, and an interrupted run goes on from there.
"""

import argparse
import sys
from pathlib import Path

from tests.bench.simulation import compare, plots, rows, tables
from tests.bench.simulation.studies import cases

_LARGEST = 10_000


def main() -> int:
    parser = argparse.ArgumentParser(prog="simulation", description=__doc__.splitlines()[0])
    parser.add_argument("--most", type=int, default=_LARGEST, help="nodes of the largest swarm")
    parser.add_argument("--plots", type=Path, default=Path("docs"), help="folder for the pictures")
    arguments = parser.parse_args()
    found = _simulated(arguments.most)
    plots.draw(found, arguments.plots)
    print("\n".join((*tables.tables(found), *compare.table())))
    return 0


def _simulated(most: int) -> list[rows.Row]:
    """A row for each case; one that two studies have in common is simulated once."""
    known = {row.code: row for row in rows.read()}
    wanted = [(case, rows.code(case.run)) for case in cases(most)]
    left = {code: case.transfers for case, code in wanted if code not in known}
    for case, code in wanted:
        if code not in known:
            to_go = sum(left.values()) / 1e6
            _say(f"{to_go:.1f} million transfers to go: {case.study}, {case.series}, {case.x:g}")
            known[code] = row = rows.row(case, code)
            del left[code]
            _say(f"    {row.ratio:.3f} of the bound, {row.cpu_seconds:.0f} s of processor")
            rows.write(list(known.values()))
    every = [(case, rows.code(case.run)) for case in cases(_LARGEST)]
    found = [rows.named(known[code], case) for case, code in every if code in known]
    rows.write(found)
    return found


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
