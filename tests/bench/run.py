# SPDX-License-Identifier: GPL-2.0-or-later
"""Every benchmark but the swarm's, one after another, as tables or as JSON.

    make bench
    build/venv/bin/python -m tests.bench.run --only apply --rounds 3

Apply, capture and frames are measured with a Debian of 80,000 files that the first run makes below
build/bench. Needs root and an otherwise idle machine.
"""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict

from tests.bench import apply, capture, frames, tree, update

Say = Callable[[str], None]


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only", choices=_BENCHES, help="leave the others out")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    cores, load = len(os.sched_getaffinity(0)), os.getloadavg()[0]
    found: dict[str, object] = {"cores": cores, "load_before": round(load, 2)}
    tables = [f"{cores} cores, load {load:.1f} before the start"]
    for name, bench in _BENCHES.items():
        if arguments.only in (None, name):
            found[name], lines = bench(arguments.rounds, _say)
            tables += ["", *lines]
    print(json.dumps(found, indent=2) if arguments.json else "\n".join(tables))
    return 0


def _apply(rounds: int, say: Say) -> tuple[object, Iterable[str]]:
    image = tree.image(say)
    rows = asyncio.run(apply.bench(tree.SITE, image, rounds, say))
    apply.write(rows)
    unpacked, entries = image.manifest.unpacked / 1e6, image.manifest.entries
    title = f"{unpacked:.0f} MB in {entries} entries, medians of {rounds}\n"
    return [asdict(row) for row in rows], [title, *apply.table(rows)]


def _capture(rounds: int, say: Say) -> tuple[object, Iterable[str]]:
    rows = capture.bench(tree.tree(say), rounds, say)
    return [asdict(row) for row in rows], capture.table(rows)


def _frames(rounds: int, say: Say) -> tuple[object, Iterable[str]]:
    rows = frames.bench(tree.tree(say), say)
    return [asdict(row) | {"cost": row.cost} for row in rows], frames.table(rows)


def _update(rounds: int, say: Say) -> tuple[object, Iterable[str]]:
    rows = update.measured(say)
    return [asdict(row) for row in rows], update.table(rows)


_BENCHES = {
    "apply": _apply,
    "capture": _capture,
    "frames": _frames,
    "update": _update,
}


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
