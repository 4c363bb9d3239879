# SPDX-License-Identifier: GPL-2.0-or-later
"""docs/api.md names every route, as the table has it.

`pytest tests/unit/test_api_docs.py --update` writes the table of docs/api.md.
"""

import re
from pathlib import Path

import pytest

from swarmstrap_server.dashboard.reference import Request, reference

PAGE = Path(__file__).parents[2] / "docs" / "api.md"
_TABLE = re.compile(r"(?<=<!-- routes -->\n).*?(?=<!-- end -->)", re.DOTALL)
_HEAD = "| request | role | what it does | takes | answers |\n|---|---|---|---|---|\n"


def row(request: Request) -> str:
    given = [f"`{field.name}`" for field in request.given]
    body = "".join(word.text for word in request.body)
    answer = "".join(word.text for word in request.answer)
    takes = ", ".join([*given, *([body] if body else [])])
    cells = (f"`{request.method} {request.path}`", request.role, request.summary, takes, answer)
    return f"| {' | '.join(cells)} |\n".replace("|  |", "| |").replace("|  |", "| |")


def table() -> str:
    return _HEAD + "".join(row(r) for requests in reference().requests.values() for r in requests)


def test_the_table_is_current(request: pytest.FixtureRequest) -> None:
    page = PAGE.read_text()
    written = _TABLE.sub(lambda _: table(), page)
    if request.config.getoption("--update"):
        PAGE.write_text(written)
    assert PAGE.read_text() == written
    assert table() in written
