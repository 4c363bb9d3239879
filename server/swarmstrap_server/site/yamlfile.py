# SPDX-License-Identifier: GPL-2.0-or-later
"""YAML that people write, decoded once into typed values; every complaint names file and line.

Scalars are read as YAML 1.2 does, and narrower: only plain decimals are numbers, only `true` and
`false` are booleans. YAML 1.1 would read the MAC 52:54:00:12:34:56 as one number to base 60, and a
serial of 0123 as 83.
"""

import difflib
import functools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import msgspec
import yaml

from swarmstrap.errors import BadInput

T = TypeVar("T")
Steps = tuple[str | int, ...]
Value = None | bool | int | float | str | list["Value"] | dict[str, "Value"]

_SPOKEN = {
    "str": "text",
    "int": "a number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "a mapping",
    "null": "nothing",
}
_KINDS = frozenset({"map", "seq", "str", "int", "float", "bool", "null"})
_STEP = re.compile(r"\.([A-Za-z_]\w*)|\[(\d+)\]|\[\.\.\.\]")


class _Loader(yaml.SafeLoader):
    """SafeLoader with resolvers of its own."""


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"0|-?[1-9][0-9]{0,17}", "-0123456789"),
    ("float", r"-?(?:0|[1-9][0-9]*)\.[0-9]+", "-0123456789"),
    ("null", r"~|null|Null|NULL|", "~nN\0"),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}",
        re.compile(f"(?:{_pattern})\\Z"),
        ["" if letter == "\0" else letter for letter in _first],
    )


class Misfit(BadInput):
    """What was written at `path` is not what is wanted there."""

    def __init__(self, path: Steps, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.path = path


@dataclass(frozen=True, slots=True)
class Document(Generic[T]):
    """A decoded file. `name` is what messages call it; `data` is what was written, and nothing
    more; `lines` maps a path of keys and list positions to the line (from 1) on which it stands.
    """

    name: str
    value: T
    data: Value
    lines: dict[Steps, int]

    def place(self, path: Steps) -> str:
        """File and line of what was written at `path`, or of its nearest written parent."""
        return f"{self.name}:{_line(self.lines, path)}"

    def problem(self, path: Steps, message: str, *, hint: str = "") -> BadInput:
        return BadInput(f"{self.place(path)}: {message}", hint=hint)


def load(path: Path, kind: type[T], *, name: str) -> Document[T]:
    """Read `path` as a `kind`; raises BadInput with file and line for whatever is not one."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise BadInput(f"{name}:1: not UTF-8 text", hint="save the file as UTF-8") from error
    except OSError as error:
        raise BadInput(f"{name}: cannot be read: {error.strerror}") from error
    return parse(text, kind, name=name)


def parse(text: str, kind: type[T], *, name: str) -> Document[T]:
    data, lines = _written(text, name)
    try:
        value = convert(data, kind)
    except Misfit as error:
        where = f"{name}:{_line(lines, error.path)}"
        raise BadInput(f"{where}: {error.message}", hint=error.hint) from error
    return Document(name, value, data, lines)


# A server reads its folder at every order, and a thousand nodes are half a second of YAML.
@functools.lru_cache(maxsize=256)
def _written(text: str, name: str) -> tuple[Value, dict[Steps, int]]:
    lines: dict[Steps, int] = {}
    try:
        root = yaml.compose(text, Loader=_Loader)
        return {} if root is None else _plain(root, (), lines, name, ()), lines
    except RecursionError as error:
        raise BadInput(f"{name}:1: nested too deeply") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}:{mark.line + 1}" if mark else name
        what = ", ".join(filter(None, (error.context, error.problem)))
        raise BadInput(f"{where}: not YAML: {what}") from error
    except yaml.YAMLError as error:
        raise BadInput(f"{name}:1: not YAML: {str(error).splitlines()[0]}") from error


def convert(data: Value, kind: type[T]) -> T:
    """Raises Misfit when `data` is no `kind`."""
    try:
        return msgspec.convert(data, kind, strict=True)
    except msgspec.ValidationError as error:
        raise _explain(str(error), kind) from error


def entry(data: Value, path: Steps) -> dict[str, Value]:
    """The mapping that was written at `path`."""
    for step in path:
        match data, step:
            case dict(), str():
                data = data[step]
            case list(), int():
                data = data[step]
            case _:
                raise KeyError(path)
    assert isinstance(data, dict), "whose kind the file's type says"
    return data


def nearest(word: str, known: list[str]) -> str:
    """`, did you mean 'x'?`, or nothing when no known word is near."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f", did you mean {close[0]!r}?" if close else ""


def _plain(
    node: yaml.Node, path: Steps, lines: dict[Steps, int], name: str, above: tuple[yaml.Node, ...]
) -> Value:
    here = node.start_mark.line + 1
    lines.setdefault(path, here)
    if any(node is parent for parent in above):
        raise BadInput(f"{name}:{here}: an alias that contains itself")
    kind = node.tag.removeprefix("tag:yaml.org,2002:")
    if kind not in _KINDS:
        raise BadInput(f"{name}:{here}: tag {kind} is not used here")
    inside = (*above, node)
    match node:
        case yaml.MappingNode():
            return _mapping(node, path, lines, name, inside)
        case yaml.SequenceNode():
            items = enumerate(node.value)
            return [_plain(item, (*path, i), lines, name, inside) for i, item in items]
        case yaml.ScalarNode():
            return _scalar(node.value, kind)
        case _:
            raise BadInput(f"{name}:{here}: not a value")


def _mapping(
    node: yaml.MappingNode,
    path: Steps,
    lines: dict[Steps, int],
    name: str,
    above: tuple[yaml.Node, ...],
) -> dict[str, Value]:
    out: dict[str, Value] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            raise BadInput(f"{name}:{line}: a key must be a word")
        key = key_node.value
        if key in out:
            first = lines[(*path, key)]
            raise BadInput(
                f"{name}:{line}: key {key!r} is here for the second time",
                hint=f"the first is on line {first}",
            )
        lines[(*path, key)] = line
        out[key] = _plain(value_node, (*path, key), lines, name, above)
    return out


def _scalar(text: str, kind: str) -> Value:
    match kind:
        case "int":
            return int(text)
        case "float":
            return float(text)
        case "bool":
            return text.lower() == "true"
        case "null":
            return None
        case _:
            return text


def _line(lines: dict[Steps, int], path: Steps) -> int:
    while path not in lines and path:
        path = path[:-1]
    return lines.get(path, 1)


def _explain(message: str, kind: type) -> Misfit:
    """msgspec's message in the words of the file."""
    what, _, where = message.partition(" - at ")
    path, hint = _path(where), ""
    struct = _struct_at(kind, path)
    if found := re.fullmatch(r"Object contains unknown field `(.+)`", what):
        key = found[1]
        known = [field.encode_name for field in struct.fields] if struct else []
        path = (*path, key)
        near = nearest(key, known)
        hint = "" if near else f"known: {', '.join(known)}"
        what = f"unknown key {key!r} in {_spoken(struct)}{near}"
    elif found := re.fullmatch(r"Object missing required field `(.+)`", what):
        what = f"key {found[1]!r} is missing in {_spoken(struct)}"
    elif found := re.fullmatch(r"Invalid enum value '?(.*?)'?", what):
        choices = _choices(_field_at(kind, path))
        what = (
            f"{path[-1]}: {found[1]!r} is none of {', '.join(choices)}{nearest(found[1], choices)}"
        )
    elif what.startswith("Expected "):
        key = next((str(step) for step in reversed(path) if isinstance(step, str)), "the file")
        what = f"{key}: e{re.sub('`(.+?)`', _spoken_type, what)[1:]}"
    return Misfit(path, what, hint=hint)


def _spoken_type(found: re.Match[str]) -> str:
    """`` `int | str` `` as `a number or text`."""
    return " or ".join(dict.fromkeys(_SPOKEN.get(t, t) for t in found[1].split(" | ")))


def _path(where: str) -> Steps:
    """`` `$.disks[0].size` `` as ("disks", 0, "size"); ends where msgspec hides a mapping's key."""
    steps: list[str | int] = []
    for found in _STEP.finditer(where.split("$", 1)[-1]):
        if found[1] is not None:
            steps.append(found[1])
        elif found[2] is not None:
            steps.append(int(found[2]))
        else:
            break
    return tuple(steps)


def _field_at(kind: type, path: Steps) -> msgspec.inspect.Type:
    here = msgspec.inspect.type_info(kind)
    for step in path:
        for part in here.types if isinstance(here, msgspec.inspect.UnionType) else (here,):
            if isinstance(part, msgspec.inspect.StructType) and isinstance(step, str):
                here = next(f.type for f in part.fields if f.encode_name == step)
            elif isinstance(
                part, msgspec.inspect.VarTupleType | msgspec.inspect.ListType
            ) and isinstance(step, int):
                here = part.item_type
    return here


def _struct_at(kind: type, path: Steps) -> msgspec.inspect.StructType | None:
    here = _field_at(kind, path)
    parts = here.types if isinstance(here, msgspec.inspect.UnionType) else (here,)
    return next((p for p in parts if isinstance(p, msgspec.inspect.StructType)), None)


def _choices(field: msgspec.inspect.Type) -> list[str]:
    parts = field.types if isinstance(field, msgspec.inspect.UnionType) else (field,)
    literals = [p for p in parts if isinstance(p, msgspec.inspect.LiteralType)]
    return [str(value) for literal in literals for value in literal.values]


def _spoken(struct: msgspec.inspect.StructType | None) -> str:
    """`DiskLayout` as `a disk layout`."""
    if struct is None:
        return "the file"
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", struct.cls.__name__).lower()
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"
