# SPDX-License-Identifier: GPL-2.0-or-later
import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update", action="store_true", help="rewrite the expectations of the plans")
