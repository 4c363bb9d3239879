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


def main() -> int:
    parser = argparse.ArgumentParser(prog="simulation", description=__doc__.splitlines()[0])
    parser.add_argument("--most", type=int, default=10_000, help="nodes of the largest swarm")
    parser.add_argument("--plots", type=Path, default=Path("docs"), help="folder for the pictures")
    arguments = parser.parse_args()
    found = _simulated(arguments.most)
    plots.draw(found, arguments.plots)
    print("\n".join((*tables.tables(found), *compare.table())))
    return 0


def _simulated(most: int) -> list[rows.Row]:
    """A row for each case; one that two studies have in common is simulated once."""
    # What somebody changes meanwhile is of the next run.
    every = [(case, rows.code(case.run)) for case in cases()]
    codes = {code for _, code in every}
    known = {row.code: row for row in rows.read() if row.code in codes}
    missing = {
        code: case for case, code in every if code not in known and case.run.site.nodes <= most
    }
    left = sum(case.transfers for case in missing.values())
    for code, case in missing.items():
        _say(f"{left / 1e6:.1f} million transfers to go: {case.study}, {case.series}, {case.x:g}")
        known[code] = row = rows.row(case, code)
        left -= case.transfers
        _say(f"    {row.ratio:.3f} of the bound, {row.cpu_seconds:.0f} s of processor")
        rows.write(list(known.values()))
    found = [rows.named(known[code], case) for case, code in every if code in known]
    rows.write(found)
    return found


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
