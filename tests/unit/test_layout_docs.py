# SPDX-License-Identifier: GPL-2.0-or-later
"""What the pages say of layouts follows from the types, and their examples are layouts.

`pytest tests/unit/test_layout_docs.py --update` writes the tables of docs/layouts.md.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from swarmstrap import hints
from swarmstrap.layout import Layout
from swarmstrap_server.layouts.describe import tables, with_tables
from swarmstrap_server.layouts.words import MATCH, NAMES, WORDS, Struct
from swarmstrap_server.site.checks import layout_problems
from swarmstrap_server.site.yamlfile import parse

TREE = Path(__file__).parents[2]
PAGE = TREE / "docs/layouts.md"
_BLOCK = re.compile(r"^```yaml\n(.*?)^```", re.DOTALL | re.MULTILINE)


def structs(kind: msgspec.inspect.Type) -> Iterator[Struct]:
    """Every struct that a value of `kind` may have in it, itself included."""
    match kind:
        case msgspec.inspect.StructType():
            yield kind.cls
            for field in kind.fields:
                yield from structs(field.type)
        case msgspec.inspect.VarTupleType():
            yield from structs(kind.item_type)
        case _:
            pass


def test_every_key_of_every_struct_has_a_word_and_no_other() -> None:
    kinds = set(structs(msgspec.inspect.type_info(Layout)))
    assert set(NAMES) == kinds
    bases = {base for kind in kinds for base in kind.__mro__ if base in WORDS}
    assert set(WORDS) == bases
    for kind, words in WORDS.items():
        assert set(words) == set(kind.__annotations__), kind


def test_every_hint_has_a_word() -> None:
    assert set(MATCH) == set(hints.KEYS)


def test_the_page_has_every_table() -> None:
    assert sorted(tables(PAGE.read_text())) == sorted(["match", *(k.__name__ for k in NAMES)])


def test_tables_are_current(request: pytest.FixtureRequest) -> None:
    page = PAGE.read_text()
    if request.config.getoption("--update"):
        PAGE.write_text(with_tables(page))
    assert PAGE.read_text() == with_tables(page)


def examples() -> Iterator[tuple[str, str]]:
    """Blocks of YAML that are layouts, with where they are; those of other files are others'."""
    for page in sorted([*TREE.glob("*.md"), *(TREE / "docs").rglob("*.md")]):
        text = page.read_text()
        for found in _BLOCK.finditer(text):
            if re.search(r"^disks:", found[1], re.MULTILINE):
                line = text.count("\n", 0, found.start()) + 1
                yield f"{page.relative_to(TREE)}:{line}", found[1]


EXAMPLES = dict(examples())


@pytest.mark.parametrize("place", EXAMPLES)
def test_every_layout_on_a_page_is_one(place: str) -> None:
    text = EXAMPLES[place]
    assert layout_problems(parse(text, Layout, name=place)) == []


def test_there_are_layouts_on_the_pages() -> None:
    pages = {place.partition(":")[0] for place in EXAMPLES}
    assert "docs/layouts.md" in pages
