# SPDX-License-Identifier: GPL-2.0-or-later
"""What a valid value can be turned into: changes of its structure, and of its bytes."""

from collections.abc import Sequence
from typing import TypeAlias

from hypothesis import strategies as some

# What MessagePack, JSON and bencode have in common.
Tree: TypeAlias = "bool | int | float | str | bytes | list[Tree] | dict[str | bytes, Tree] | None"

# In order, from the least to the most that MessagePack can say.
NUMBERS = (-(2**63), -1, 0, 1, 255, 4096, 2**31, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1)
PATHS = (
    *(b"", b".", b"..", b"/", b"../outside/new", b"/outside", b"a/../../outside/new", b"d/./x"),
    *(b"link", b"link/new", b"up/new", b"d/file", b"d/new/below", b"\0", b"\xff\n\x1b[2J"),
    *(b"n" * 256, b"d/" * 2100, b"../outside/secret", b".swarmstrap-staging/x"),
)


@some.composite
def changed(draw: some.DrawFn, origin: Tree, pool: Sequence[Tree]) -> Tree:
    """`origin` with up to four of its parts replaced, left out, doubled or exchanged."""
    tree = origin
    for _ in range(draw(some.integers(1, 4))):
        tree = draw(_once(tree, pool))
    return tree


@some.composite
def _once(draw: some.DrawFn, tree: Tree, pool: Sequence[Tree]) -> Tree:
    if not isinstance(tree, list | dict) or not tree:
        return draw(_leaf(tree, pool))
    if isinstance(tree, dict):
        key = draw(some.sampled_from(list(tree)))
        if draw(some.integers(0, 9)) == 0:
            return {name: value for name, value in tree.items() if name != key}
        return {**tree, key: draw(_once(tree[key], pool))}
    place = draw(some.integers(0, len(tree) - 1))
    match draw(some.sampled_from(("within", "within", "within", "drop", "double", "exchange"))):
        case "drop":
            return tree[:place] + tree[place + 1 :]
        case "double":
            return [*tree[: place + 1], draw(_once(tree[place], pool)), *tree[place + 1 :]]
        case "exchange":
            other = draw(some.integers(0, len(tree) - 1))
            copy = list(tree)
            copy[place], copy[other] = copy[other], copy[place]
            return copy
        case _:
            return [*tree[:place], draw(_once(tree[place], pool)), *tree[place + 1 :]]


@some.composite
def _leaf(draw: some.DrawFn, value: Tree, pool: Sequence[Tree]) -> Tree:
    """Mostly of the same type: another one is refused by the first decoder."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        near = some.integers(-3, 3).map(lambda step: value + step)
        return min(max(draw(near | some.sampled_from(NUMBERS)), NUMBERS[0]), NUMBERS[-1])
    alike = [other for other in pool if type(other) is type(value)] or list(pool)
    return draw(some.sampled_from(alike) | some.sampled_from(pool))


@some.composite
def edited(draw: some.DrawFn, origins: Sequence[bytes]) -> bytes:
    """One of `origins`, with up to eight edits of its bytes."""
    data = bytearray(draw(some.sampled_from(origins)))
    for _ in range(draw(some.integers(1, 8))):
        place = draw(some.integers(0, len(data)))
        length = draw(some.sampled_from((1, 1, 1, 2, 4, 8, 64, 512)))
        match draw(some.sampled_from(("write", "write", "insert", "drop", "double", "end"))):
            case "write":
                data[place : place + length] = draw(some.binary(min_size=1, max_size=8))
            case "insert":
                data[place:place] = draw(some.binary(min_size=1, max_size=64))
            case "drop":
                del data[place : place + length]
            case "double":
                data[place:place] = data[place : place + length]
            case _:
                del data[place:]
    return bytes(data)
