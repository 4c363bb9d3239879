# SPDX-License-Identifier: GPL-2.0-or-later
"""Every benchmark, one after another, as tables or as JSON.

    make bench
    build/venv/bin/python -m tests.bench.run --rounds 3 --json

A round is the swarm's rows once and three pairs of apply. The image that is applied is the demo's
Debian, made by the first run that needs it. Needs root and an otherwise idle machine.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from tests.bench import apply, swarm

from swarmstrap_server.images.library import Image, ImageStore
from swarmstrap_server.lab import demo

DEMO = Path("build/demo")
_PAIRS = 3


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only", choices=("swarm", "apply"), help="leave the other one out")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    cores, load = len(os.sched_getaffinity(0)), os.getloadavg()[0]
    found: dict[str, object] = {"cores": cores, "load_before": round(load, 2)}
    tables = [f"{cores} cores, load {load:.1f} before the start"]
    if arguments.only != "apply":
        rows = swarm.bench(arguments.rounds, _say)
        found["swarm"] = [asdict(row) | {"ratio": row.ratio} for row in rows]
        tables += ["", *_swarm_table(rows)]
    if arguments.only != "swarm":
        applied = apply.bench(_image(), _PAIRS * arguments.rounds, _say)
        found["apply"] = asdict(applied) | {"ratio": applied.ratio}
        tables += ["", *_apply_table(applied)]
    print(json.dumps(found, indent=2) if arguments.json else "\n".join(tables))
    return 0


def _image() -> Image:
    store = ImageStore(DEMO / "site" / "images")
    if not store.ls(demo.IMAGE):
        demo.prepare(DEMO)
    return store.latest(demo.IMAGE)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _swarm_table(rows: Iterable[swarm.Measured]) -> Iterable[str]:
    yield f"{swarm.PAYLOAD / 1e6:.0f} MB, links of {swarm.RATE / 1e6:.0f} Mbit/s each way\n"
    yield "| way | nodes | last node / bound | all rounds | copies sent by the server |"
    yield "|---|---|---|---|---|"
    for row in rows:
        times = " ".join(f"{time:.2f}" for time in row.times)
        copies = " ".join(f"{copies:.2f}" for copies in row.copies)
        yield f"| {row.way} | {row.nodes} | {row.ratio:.2f} | {times} | {copies} |"


def _apply_table(applied: apply.Applied) -> Iterable[str]:
    yield f"{applied.unpacked / 1e6:.0f} MB in {applied.entries} entries, onto ext4 in memory\n"
    yield "| way | median, s | all runs, s | processor, median s |"
    yield "|---|---|---|---|"
    for way, runs in (("tar --zstd -x", applied.tar), ("swarmstrap", applied.writers)):
        times = " ".join(f"{run.seconds:.1f}" for run in runs)
        seconds, busy = apply.median(runs)
        yield f"| {way} | {seconds:.1f} | {times} | {busy:.1f} |"
    yield f"\nratio {applied.ratio:.2f}"


if __name__ == "__main__":
    sys.exit(main())
