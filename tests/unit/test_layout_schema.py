# SPDX-License-Identifier: GPL-2.0-or-later
"""The JSON Schema of a layout, by a validator of its own: it is one, and it accepts what we do."""

import json
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator
from tests.unit.test_layout_docs import EXAMPLES, TREE

SHIPPED = TREE / "docs/layouts/layout.schema.json"
FILES = sorted(SHIPPED.parent.glob("*.yaml"))
ROOT = "{label: root, type: root, size_min: 2GiB, format: ext4, mount: /}"
GOOD = f"disks:\n- {{id: a, match: {{tran: nvme}}, partitions: [{ROOT}]}}\n"


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    return Draft202012Validator(json.loads(SHIPPED.read_bytes()))


def test_the_schema_is_one(validator: Draft202012Validator) -> None:
    validator.check_schema(validator.schema)


@pytest.mark.parametrize("place", EXAMPLES)
def test_every_layout_on_a_page_is_valid(validator: Draft202012Validator, place: str) -> None:
    assert list(validator.iter_errors(yaml.safe_load(EXAMPLES[place]))) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_example_is_valid(validator: Draft202012Validator, path: Path) -> None:
    assert list(validator.iter_errors(yaml.safe_load(path.read_text()))) == []


@pytest.mark.parametrize(
    ("right", "wrong", "where"),
    [
        ("label: root", "lable: root", "disks.0.partitions.0"),
        ("type: root", "type: rot", "disks.0.partitions.0.type"),
        ("format: ext4", "format: ext3", "disks.0.partitions.0.format"),
        ("tran: nvme", "transport: nvme", "disks.0.match"),
        ("id: a, ", "", "disks.0"),
        ("id: a, ", "id: a, count: two, ", "disks.0.count"),
        ("disks:", "raid: []\ndisk:", ""),
    ],
)
def test_what_is_wrong_is_found_where_it_stands(
    validator: Draft202012Validator, right: str, wrong: str, where: str
) -> None:
    assert validator.is_valid(yaml.safe_load(GOOD))
    assert right in GOOD
    found = validator.iter_errors(yaml.safe_load(GOOD.replace(right, wrong)))
    assert where in {".".join(map(str, error.absolute_path)) for error in found}
