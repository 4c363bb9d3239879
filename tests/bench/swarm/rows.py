# SPDX-License-Identifier: GPL-2.0-or-later
"""What runs measured: in a file each, so that an interrupted benchmark goes on; and as rows."""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """What a run is of. `rate` in bit/s, 0 for links that are not shaped; `size` is the bytes of
    the image's data, `scenario` empty for equal links.
    """

    system: str
    n: int
    rate: int
    size: int
    round: int
    scenario: str = ""

    @property
    def bound(self) -> float:
        """Seconds that one copy takes through one link; 0 where nothing is known of it."""
        return self.size * 8 / self.rate if self.rate else 0.0


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """`seconds` of each node since its own start; `server_bytes` on its cable, headers included,
    of which `server_payload_bytes` were the image's as far as the system says so. `cpu_idle` is
    this machine's while it lasted, `cpu_seconds` is what all processes of the run used, their
    start included. `uplink_bytes` went into the racks without the server, and out of them.
    """

    setting: Setting
    seconds: tuple[float, ...]
    server_bytes: int
    server_payload_bytes: int | None
    payload_bytes: int
    cpu_idle: float
    cpu_seconds: float
    uplink_bytes: tuple[int, int] = (0, 0)

    @property
    def bound(self) -> float:
        """As the setting's, but of what was sent: the compressed image."""
        return self.payload_bytes * 8 / self.setting.rate if self.setting.rate else 0.0

    @property
    def ratio(self) -> float | None:
        """Of the last node's time to the bound."""
        return max(self.seconds) / self.bound if self.bound else None


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """The round with the median last node; `ratios` has those of all rounds, in their order."""

    system: str
    n: int
    rate: int
    seconds_first: float
    seconds_median: float
    seconds_last: float
    bound_seconds: float
    ratio: float | None
    ratios: tuple[float, ...]
    server_bytes: int
    server_payload_bytes: int | None
    payload_bytes: int
    cpu_idle: float
    cpu_seconds: float


class Rows:
    """Runs below a folder, by their setting."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def get(self, setting: Setting) -> Run | None:
        try:
            return msgspec.json.decode(self._place(setting).read_bytes(), type=Run)
        except FileNotFoundError:
            return None

    def all(self, scenario: str = "") -> list[Run]:
        """Every run of that scenario, in the order of rounds and numbers of nodes."""
        runs = (
            msgspec.json.decode(place.read_bytes(), type=Run)
            for place in self._folder.glob("*.json")
        )
        of_it = (run for run in runs if run.setting.scenario == scenario)
        return sorted(of_it, key=lambda run: (run.setting.n, run.setting.round))

    def put(self, run: Run) -> None:
        place = self._place(run.setting)
        new = place.with_suffix(".new")
        new.write_bytes(msgspec.json.format(msgspec.json.encode(run), indent=2) + b"\n")
        new.rename(place)

    def _place(self, setting: Setting) -> Path:
        return self._folder / ("-".join(map(str, msgspec.structs.astuple(setting))) + ".json")


def summed(runs: Iterable[Run]) -> Iterator[Row]:
    """A row for each system, number of nodes and rate, in the order of the runs."""
    rounds: defaultdict[tuple[str, int, int], list[Run]] = defaultdict(list)
    for run in runs:
        rounds[run.setting.system, run.setting.n, run.setting.rate].append(run)
    return map(_row, rounds.values())


def _row(runs: Sequence[Run]) -> Row:
    run = sorted(runs, key=lambda run: max(run.seconds))[(len(runs) - 1) // 2]
    setting, ratios = run.setting, [run.ratio for run in runs]
    return Row(
        system=setting.system,
        n=setting.n,
        rate=setting.rate,
        seconds_first=round(min(run.seconds), 3),
        seconds_median=round(statistics.median(run.seconds), 3),
        seconds_last=round(max(run.seconds), 3),
        bound_seconds=round(run.bound, 3),
        ratio=None if run.ratio is None else round(run.ratio, 3),
        ratios=tuple(round(ratio, 3) for ratio in ratios if ratio is not None),
        server_bytes=run.server_bytes,
        server_payload_bytes=run.server_payload_bytes,
        payload_bytes=run.payload_bytes,
        cpu_idle=round(run.cpu_idle, 3),
        cpu_seconds=round(run.cpu_seconds, 2),
    )


def write(rows: Sequence[msgspec.Struct], place: Path) -> None:
    """As a list in JSON."""
    place.write_bytes(msgspec.json.format(msgspec.json.encode(rows), indent=2) + b"\n")
