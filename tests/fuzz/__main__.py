# SPDX-License-Identifier: GPL-2.0-or-later
"""Tries what nobody means to send, as long or as often as is said; keeps what was taken wrongly.

    python -m tests.fuzz --minutes 10            # each target in turn
    python -m tests.fuzz --minutes 1 index tar
    python -m tests.fuzz --attempts 100 --seed 1 # the same ones every time

A finding is reduced, written to corpus/TARGET/, and fails the run; what is in the corpus is tried
first, every time. Each target has its own process, with a limit to its memory and to each attempt.
"""

import argparse
import os
import resource
import secrets
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import NoReturn

from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from hypothesis.strategies import SearchStrategy
from tests.fuzz.targets import targets
from tests.fuzz.watched import Watched

from swarmstrap.errors import SwarmstrapError
from swarmstrap.units import GiB

CORPUS = Path(__file__).parent / "corpus"
# The most that one attempt may take beside what the interpreter and its libraries have mapped.
_MEMORY = 1 * GiB
_SECONDS = 10
_ROUND = 50


class TooLong(Exception):
    """An attempt takes longer than any input of some kilobytes may."""


@dataclass(frozen=True)
class _Bound:
    """How long one target is tried; rounds are always whole."""

    seconds: float
    attempts: int | None

    def leaves(self, attempts: int, seconds: float) -> bool:
        if self.attempts is not None:
            return attempts < self.attempts
        return seconds < self.seconds


def main() -> int:
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__.splitlines()[0])
    much = parser.add_mutually_exclusive_group()
    much.add_argument("--minutes", type=float, default=1.0, help="for each target")
    much.add_argument("--attempts", type=int, help="for each target, instead of a time")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(targets()))
    parser.add_argument("--seed", type=int, default=secrets.randbits(32), help="to do it again")
    arguments = parser.parse_args()
    found = 0
    for name in arguments.targets or targets():
        pid = os.fork()
        if not pid:
            status = 1
            try:
                bound = _Bound(60 * arguments.minutes, arguments.attempts)
                status = _fuzz(name, bound, arguments.seed)
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                os._exit(status)
        found += os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 0
    return 1 if found else 0


def _fuzz(name: str, bound: _Bound, first: int) -> int:
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + _MEMORY, mapped + _MEMORY))
    signal.signal(signal.SIGALRM, _too_long)
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        place = Watched(Path(folder))
        try:
            return _attempts(name, place, bound, first)
        finally:
            place.stop()


def _round(inputs: SearchStrategy[bytes], attempt: Callable[[bytes], None], number: int) -> None:
    @seed(number)
    @settings(
        max_examples=_ROUND,
        deadline=None,
        database=None,
        verbosity=Verbosity.quiet,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(inputs)
    def attempts(data: bytes) -> None:
        attempt(data)

    attempts()


def _too_long(*_: object) -> NoReturn:
    raise TooLong


def _attempts(name: str, place: Watched, bound: _Bound, first: int) -> int:
    target = targets()[name]
    attempts = refused = 0
    last = b""
    began = time.monotonic()

    def attempt(data: bytes) -> None:
        nonlocal attempts, refused, last
        attempts, last = attempts + 1, data
        signal.alarm(_SECONDS)
        try:
            target.run(place, data)
        except SwarmstrapError:
            refused += 1
        finally:
            signal.alarm(0)

    kept = [path.read_bytes() for path in sorted((CORPUS / name).glob("*"))]
    for data in target.seeds:
        target.run(place, data)  # what is valid is not refused
    try:
        for data in kept:
            attempt(data)
        while bound.leaves(attempts, time.monotonic() - began):
            _round(target.inputs(kept), attempt, first + attempts)
    except Exception:
        path = CORPUS / name / sha256(last).hexdigest()[:12]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(last)
        traceback.print_exc()
        print(f"{name}: found after {attempts} attempts of seed {first}, kept as {path}")
        return 1
    print(f"{name}: {attempts} attempts, {refused} refused, nothing found")
    return 0


if __name__ == "__main__":
    sys.exit(main())
