# SPDX-License-Identifier: GPL-2.0-or-later
"""What other tools read becomes a layout, and what is lost on the way is said.

Each folder of layout_imports/ is a case, named after its format, with

    source.*     what is imported, a file or a folder
    layout.yaml  what must come of it
    losses.txt   what must be said of it

`pytest tests/unit/test_layout_imports.py --update` rewrites the last two for review.
"""

from pathlib import Path

import pytest

from swarmstrap.errors import BadInput
from swarmstrap.layout import Layout
from swarmstrap.layoutcheck import check_layout
from swarmstrap_server.cli import main
from swarmstrap_server.layouts.importing.choose import READERS
from swarmstrap_server.layouts.importing.meaning import Labels, binary_size, written
from swarmstrap_server.layouts.importing.reading import Entry, Losses
from swarmstrap_server.layouts.writing import layout_yaml
from swarmstrap_server.site.yamlfile import parse

CASES = sorted((Path(__file__).parent / "layout_imports").iterdir())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_import(
    case: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(case)
    (source,) = Path().glob("source*")
    losses = Losses()
    layout = READERS[case.name.partition("-")[0]](source, losses)
    check_layout(layout)
    text = layout_yaml(layout)
    assert parse(text, Layout, name="layout.yaml").value == layout
    said = "".join(f"{loss}\n" for loss in losses.found)
    if request.config.getoption("--update"):
        Path("layout.yaml").write_text(f"# SPDX-License-Identifier: GPL-2.0-or-later\n{text}")
        Path("losses.txt").write_text(said)
    assert Path("layout.yaml").read_text().partition("\n")[2] == text
    assert Path("losses.txt").read_text() == said


def test_there_are_cases_of_every_format() -> None:
    names = [case.name.partition("-")[0] for case in CASES]
    assert all(names.count(name) >= 3 for name in READERS)


@pytest.mark.parametrize(
    ("format_", "name", "content", "complaint"),
    [
        ("curtin", "c.yaml", "network: {}\n", "c.yaml:1: no storage configuration"),
        ("curtin", "c.yaml", "storage: {version: 3, config: []}\n", "version 3 is neither 1 nor 2"),
        ("curtin", "c.yaml", "storage: {config: [{id: a, type: [x]}]}\n", "c.yaml:1: type is not"),
        (
            "curtin",
            "c.yaml",
            "config:\n- {id: v, type: lvm_volgroup, name: v, devices: [gone]}\n",
            "c.yaml:2: id v refers to 'gone'",
        ),
        (
            "curtin",
            "c.yaml",
            "config:\n- {id: m, type: raid, name: m, raidlevel: linear, devices: []}\n",
            "c.yaml:2: raidlevel linear is none of",
        ),
        ("ignition", "i.ign", "storage: {}", "i.ign: not an Ignition configuration"),
        ("ignition", "i.ign", '{"ignition": {"version": "2.3.0"}}', "ignition.version is '2.3.0'"),
        (
            "ignition",
            "i.ign",
            '{"ignition": {"version": "3.1.0"}, "storage": {"filesystems": '
            '[{"device": "/dev/disk/by-label/root", "format": "xfs", "path": "/"}]}}',
            "i.ign: storage.filesystems[0]: '/dev/disk/by-label/root' is made by nothing",
        ),
        ("repart", "r.conf", "[Partition]\nType\n", "r.conf:2: 'Type' is no assignment"),
        ("repart", "r.conf", "[Unit]\nType=root\n", "nothing in a section [Partition]"),
        ("repart", "r.conf", "[Partition]\nPriority=high\n", "r.conf:2: Priority high is not"),
        (
            "repart",
            "r.conf",
            "[Partition]\nSizeMinBytes=some\n",
            "r.conf:2: SizeMinBytes some is not a size",
        ),
    ],
)
def test_what_cannot_be_read(
    tmp_path: Path, format_: str, name: str, content: str, complaint: str
) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(BadInput) as caught:
        READERS[format_](path, Losses())
    assert complaint in str(caught.value)


def test_what_nobody_asks_for_is_listed_and_secrets_are_not_shown() -> None:
    losses = Losses()
    values: dict[str, object] = {"size": "1G", "odd": "thing", "off": False, "key": "hush"}
    entry = Entry(values, lambda key: f"file:{key}", losses)
    assert entry.text("size") == "1G"
    entry.lose("key", "is kept elsewhere")
    entry.lose_rest("nothing like it")
    assert [str(loss) for loss in losses.found] == [
        "file:key: key: is kept elsewhere",
        "file:odd: odd thing: nothing like it",
    ]


def test_losses_are_no_failure_unless_they_are_to_be_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    source = str(CASES[0] / "source.yaml")
    assert main(["layout", "import", "--from", "curtin", source]) == 0
    assert main(["layout", "import", "--from", "curtin", "--strict", source]) == 3
    shown = capsys.readouterr()
    assert shown.out.startswith("disks:\n")
    assert f"{source}:" in shown.err


def test_a_layout_that_is_not_whole_is_shown_all_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "data.conf"
    path.write_text("[Partition]\nType=srv\nFormat=xfs\n")
    assert main(["layout", "import", "--from", "repart", str(path)]) == 1
    shown = capsys.readouterr()
    assert "mount: /srv" in shown.out
    assert "nothing is mounted at /" in shown.err


def test_sizes_are_powers_of_1024() -> None:
    texts = {"1G": "1GiB", "512MB": "512MiB", "1.5k": "1536B", "1000001535B": "1000001535B"}
    assert {text: written(binary_size(text)) for text in texts} == texts


def test_labels_are_fit_and_given_once() -> None:
    labels = Labels()
    given = [labels.give(["my root"]), labels.give(["my root", "second"]), labels.give(["my root"])]
    assert given == ["my-root", "second", "my-root-2"]
    assert labels.give(["", "///"]) == "part"
    assert len(labels.give(["x" * 80])) == 36
