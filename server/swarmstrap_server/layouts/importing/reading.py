# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading a foreign file so that nothing is lost in silence: what nobody asked for is listed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from swarmstrap.errors import BadInput
from swarmstrap_server.layouts.importing.meaning import binary_size

Where = Callable[[str], str]
# Whose values are shown to nobody.
_SECRET = frozenset({"key"})
_SHOWN = 60
_NO_COUNTERPART = "a layout has nothing like it"


@dataclass(frozen=True, slots=True)
class Loss:
    """`where` is file and line, or the path in the file."""

    where: str
    what: str
    why: str

    def __str__(self) -> str:
        line = " ".join(f"{self.where}: {self.what}: {self.why}".split())
        return "".join(letter if letter.isprintable() else "?" for letter in line)


@dataclass(slots=True)
class Losses:
    """What could not be carried over as it was written, in the order in which it was found."""

    found: list[Loss] = field(default_factory=list)

    def add(self, where: str, what: str, why: str) -> None:
        self.found.append(Loss(where, what, why))

    def sort_by_line(self) -> None:
        """For a format whose places are all `FILE:LINE` of one file."""
        self.found.sort(key=lambda loss: int(loss.where.rpartition(":")[2]))


class Entry:
    """One mapping of a foreign file: a value that was asked for is carried over, or `lose` is
    called for it; `lose_rest` says of what is left that it is lost.
    """

    def __init__(self, values: Mapping[str, object], where: Where, losses: Losses) -> None:
        self._values = values
        self._where = where
        self._asked: set[str] = set()
        self._losses = losses

    @property
    def place(self) -> str:
        """Where it is written."""
        return self._where("")

    def text(self, key: str, default: str = "") -> str:
        """Also of a number, which some formats write bare."""
        value = self._ask(key)
        if value is None:
            return default
        if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
            return str(value)
        raise self._wrong(key, "text")

    def number(self, key: str, default: int = 0) -> int:
        value = self._ask(key)
        match value:
            case None:
                return default
            case int() if not isinstance(value, bool):
                return value
            case str() if value.isdecimal():
                return int(value)
            case _:
                raise self._wrong(key, "a whole number")

    def size(self, key: str, default: str = "") -> int:
        """In bytes, as binary_size reads it; 0 when it is not there."""
        text = self.text(key, default)
        try:
            return binary_size(text) if text else 0
        except BadInput as error:
            raise self.problem(key, "is not a size", hint=error.hint) from error

    def flag(self, key: str) -> bool:
        value = self._ask(key)
        if value is None or isinstance(value, bool):
            return bool(value)
        if value in (0, 1):
            return value == 1
        raise self._wrong(key, "true or false")

    def texts(self, key: str) -> list[str]:
        value = self._ask(key)
        if value is None:
            return []
        if isinstance(value, list):
            words = [item for item in value if isinstance(item, str)]
            if len(words) == len(value):
                return words
        raise self._wrong(key, "a list of texts")

    def mapping(self, key: str) -> Mapping[str, object]:
        value = self._ask(key)
        if value is None:
            return {}
        if isinstance(value, dict):
            return value
        raise self._wrong(key, "a mapping")

    def mappings(self, key: str) -> list[Mapping[str, object]]:
        value = self._ask(key)
        if value is None:
            return []
        if isinstance(value, list):
            found = [item for item in value if isinstance(item, dict)]
            if len(found) == len(value):
                return list(found)
        raise self._wrong(key, "a list of mappings")

    def has(self, key: str) -> bool:
        return self._values.get(key) is not None

    def problem(self, key: str, message: str, *, hint: str = "") -> BadInput:
        return BadInput(f"{self._where(key)}: {self._named(key)} {message}", hint=hint)

    def lose(self, key: str, why: str) -> None:
        """Notes the loss of what `key` says; nothing when it is not there."""
        if self._ask(key) is not None:
            self._losses.add(self._where(key), self._named(key), why)

    def changed(self, key: str, why: str) -> None:
        """Notes that what `key` says became something else."""
        self._losses.add(self._where(key), self._named(key), why)

    def forget(self) -> None:
        """Nothing more is said of this entry: that it is lost as a whole was said."""
        self._asked |= self._values.keys()

    def inside(self, key: str) -> "Entry":
        """The mapping that is the value of `key`, read by the same rules."""
        return Entry(self.mapping(key), self._where, self._losses)

    def lose_rest(self, why: str = _NO_COUNTERPART) -> None:
        """Every key that nobody asked for, but for empty ones, which say nothing."""
        for key, value in self._values.items():
            if key not in self._asked and value not in (None, False, "", [], {}):
                self._losses.add(self._where(key), self._named(key), why)

    def _ask(self, key: str) -> object:
        self._asked.add(key)
        return self._values.get(key)

    def _named(self, key: str) -> str:
        value = self._values.get(key)
        if isinstance(value, bool):
            return f"{key} {str(value).lower()}"
        if not isinstance(value, str | int) or key in _SECRET:
            return key
        shown = " ".join(str(value).split())
        return f"{key} {shown}" if len(shown) <= _SHOWN else f"{key} {shown[:_SHOWN]}..."

    def _wrong(self, key: str, wanted: str) -> BadInput:
        return self.problem(key, f"is not {wanted}")
