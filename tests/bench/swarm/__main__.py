# SPDX-License-Identifier: GPL-2.0-or-later
"""The swarm beside other ways to send an image to N nodes.

    make bench-swarm SYSTEMS=swarmstrap,aria2 NODES=1,2,4 RATE=8 PAYLOAD=40 ROUNDS=3
    make bench-swarm-mixed SCENARIO=racks
    make bench-swarm-fast

What was measured is kept below build/bench/swarm-rows and not measured again: an interrupted
benchmark goes on where it was, and its table has all runs at the same rate with the same payload.
"""

import argparse
import signal
import sys
from pathlib import Path

from tests.bench.swarm import fast, mixed, side_by_side
from tests.bench.swarm.rows import Rows
from tests.bench.swarm.series import Wish
from tests.bench.swarm.systems import SYSTEMS

FOLDER = Path("build/bench")
_BENCHES = {"side-by-side": side_by_side.bench, "mixed": mixed.bench, "fast": fast.bench}


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="bench-swarm", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("bench", choices=_BENCHES)
    parser.add_argument("--systems", type=_words, default=[], metavar=",".join(SYSTEMS))
    parser.add_argument("--scenarios", type=_words, default=[], metavar=",".join(mixed.SCENARIOS))
    parser.add_argument("--nodes", type=_numbers, default=[], metavar="N,N")
    parser.add_argument("--rate", type=float, default=8.0, help="Mbit/s of each link, each way")
    parser.add_argument("--payload", type=float, default=40.0, help="MB")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--again", action="store_true", help="what was measured already, too")
    parser.add_argument("--plots", type=Path, default=FOLDER, help="folder for the pictures")
    given = parser.parse_args()
    unknown = {*given.systems} - {*SYSTEMS} | {*given.scenarios} - {*mixed.SCENARIOS}
    if unknown:
        parser.error(f"nothing is called {', '.join(sorted(unknown))}")
    wish = Wish(
        systems=tuple(given.systems),
        scenarios=tuple(given.scenarios),
        nodes=tuple(given.nodes),
        rate=round(given.rate * 1e6),
        size=round(given.payload * 1e6),
        rounds=given.rounds,
        again=given.again,
    )
    # As Ctrl-C: machines and folders of the run are removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        for text in _BENCHES[given.bench](wish, Rows(FOLDER / "swarm-rows"), FOLDER, given.plots):
            print(text)
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _words(text: str) -> list[str]:
    return text.split(",")


def _numbers(text: str) -> list[int]:
    return [int(word) for word in text.split(",")]


if __name__ == "__main__":
    sys.exit(main())
