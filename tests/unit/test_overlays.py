# SPDX-License-Identifier: GPL-2.0-or-later
"""Overlays on a node: what may be laid, what templates become, and that nothing leaves the root."""

import os
import stat
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.plans.test_plans import plan_of

from swarmstrap.deployed import RECORD, read_record
from swarmstrap.effects.system.overlays import lay
from swarmstrap.errors import BadInput, StepFailed, Unplannable
from swarmstrap.overlays import MOST_BYTES, check_overlay, listing, overlay_steps, words
from swarmstrap.steps.system import LayOverlay, WriteFile
from swarmstrap.wire import Overlay, OverlayFile

PLANS = Path(__file__).parent.parent / "plans"
WORDS = words("n1", "n1.example", ("gpu", "all"), {"ntp": "192.0.2.5"})


def file(path: str, content: bytes = b"x\n", **more: object) -> OverlayFile:
    own = OverlayFile(path=path, content=content, owner=os.getuid(), group=os.getgid())
    return replace(own, **more)


def link(path: str, target: str) -> OverlayFile:
    return file(path, target.encode(), kind="link")


def template(text: str) -> Overlay:
    return Overlay(name="base", files=(file("/etc/motd", text.encode(), kind="template"),))


def laid(root: Path, *files: OverlayFile) -> None:
    root.mkdir(exist_ok=True)
    lay(LayOverlay("base", files), root)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (file("/etc/../../x"), "not a path to lay a file at"),
        (file("etc/motd"), "not a path to lay a file at"),
        (file("/etc//motd"), "not a path to lay a file at"),
        (file("/etc/"), "not a path to lay a file at"),
        (file("/etc/mo\ntd"), "not a path to lay a file at"),
        (file("/etc/*"), "not a path to lay a file at"),
        (file("/etc/\udcff"), "not a path to lay a file at"),
        (file("/etc/fstab"), "/etc/fstab is written by the deployment itself"),
        (file("/var/lib/swarmstrap/deployed.json"), "written by the deployment itself"),
        (file("/run/x"), "lies on no disk"),
        (file("/etc/motd", mode=0o10644), "no mode or owner"),
        (file("/etc/motd", owner=-1), "no mode or owner"),
        (link("/etc/motd", ""), "points to nothing"),
    ],
)
def test_what_nobody_may_lay(bad: OverlayFile, said: str) -> None:
    check_overlay(Overlay(name="base", files=(file("/etc/motd"),)))
    with pytest.raises(BadInput, match=f"overlay base: .*{said}"):
        check_overlay(Overlay(name="base", files=(bad,)))


def test_an_overlay_s_name_is_no_path() -> None:
    with pytest.raises(BadInput, match=r"'\.\./base' is not usable"):
        check_overlay(Overlay(name="../base", files=()))


@pytest.mark.parametrize(
    "change",
    [
        {"path": "/etc/other"},
        {"kind": "template"},
        {"content": b"y\n"},
        {"mode": 0o4755},
        {"owner": 12345},
        {"group": 12345},
    ],
)
def test_every_word_of_a_file_is_in_what_is_signed(change: dict[str, object]) -> None:
    one = Overlay(name="base", files=(file("/etc/motd"), file("/etc/issue")))
    assert listing(one) == listing(replace(one, files=one.files[::-1]))
    assert listing(one) != listing(replace(one, name="other"))
    assert listing(one) != listing(replace(one, files=one.files[1:]))
    changed = replace(one.files[0], **change)
    assert listing(one) != listing(replace(one, files=(changed, one.files[1])))


def test_a_template_has_the_words_of_its_node() -> None:
    text = "$SWARMSTRAP_NODE ${SWARMSTRAP_HOSTNAME} $SWARMSTRAP_GROUPS $SWARMSTRAP_VAR_ntp $$5\n"
    (step,) = overlay_steps((template(text),), WORDS)
    (made,) = step.files
    assert made.kind == "file"
    assert made.content == b"n1 n1.example gpu all 192.0.2.5 $5\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("$SWARMSTRAP_VAR_dns", "/etc/motd names SWARMSTRAP_VAR_dns, which this node does not"),
        ("a\n  $1", r"/etc/motd has a \$ without a name: line 2, col 3"),
        ("${HOME:-x}", r"/etc/motd has a \$ without a name"),
    ],
)
def test_a_template_that_cannot_be_rendered(text: str, said: str) -> None:
    with pytest.raises(Unplannable, match=f"overlay base: template of {said}"):
        list(overlay_steps((template(text),), WORDS))


def test_a_template_of_bytes_is_none() -> None:
    binary = Overlay(name="base", files=(file("/etc/x", b"\xff", kind="template"),))
    with pytest.raises(Unplannable, match="template of /etc/x is not UTF-8 text"):
        list(overlay_steps((binary,), WORDS))


def test_too_much_for_a_node() -> None:
    half = Overlay(name="a", files=(file("/a", bytes(MOST_BYTES // 2)),))
    assert len(list(overlay_steps((half,), WORDS))) == 1
    with pytest.raises(BadInput, match="overlays of 4 MiB in all, and a node takes 4 MiB"):
        list(overlay_steps((half, half), WORDS))


def test_files_replace_what_is_there(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc/motd").write_text("old")
    step = (file("/etc/motd", mode=0o4755), link("/etc/localtime", "/usr/share/UTC"))
    for _ in range(2):  # as after a failure
        laid(root, *step, file("/opt/own/deep/x", b"\0\xff"))
    assert (root / "etc/motd").read_bytes() == b"x\n"
    assert stat.S_IMODE((root / "etc/motd").stat().st_mode) == 0o4755
    assert (root / "etc/localtime").readlink() == Path("/usr/share/UTC")
    assert (root / "opt/own/deep/x").read_bytes() == b"\0\xff"
    assert stat.S_IMODE((root / "opt/own").stat().st_mode) == 0o755
    assert sorted(path.name for path in (root / "etc").iterdir()) == ["localtime", "motd"]


def test_no_symlink_leads_out_of_the_root(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    (root / "etc").mkdir(parents=True)
    outside.mkdir()
    (outside / "file").write_text("untouched")
    (root / "absolute").symlink_to(outside)
    (root / "relative").symlink_to("../outside")
    (root / "etc/link").symlink_to(outside / "file")
    laid(root, file("/absolute/a"), file("/relative/b"), file("/etc/link"))
    laid(root, link("/own", str(outside)), file("/own/c"))
    laid(root, file("/../outside/d"))  # which `check_overlay` would not have let come so far
    assert [path.name for path in outside.iterdir()] == ["file"]
    assert (outside / "file").read_text() == "untouched"
    assert (root / "etc/link").read_bytes() == b"x\n"
    within = root / str(outside).removeprefix("/")
    assert sorted(path.name for path in within.iterdir()) == ["a", "c"]
    assert sorted(path.name for path in (root / "outside").iterdir()) == ["b", "d"]


@pytest.mark.parametrize(
    ("path", "said"),
    [("/etc", "/etc: Is a directory"), ("/file/x", "/file/x: (File exists|Not a directory)")],
)
def test_what_is_in_the_way_is_named(path: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(StepFailed, match=f"overlay base: cannot lay {said}") as failed:
        laid(tmp_path, file(path))
    assert "take another path" in failed.value.hint
    assert sorted(p.name for p in tmp_path.iterdir()) == ["etc", "file"]


def test_an_update_leaves_alone_what_was_laid() -> None:
    steps = plan_of(PLANS / "overlays").steps
    (text,) = (s.content for s in steps if isinstance(s, WriteFile) and s.path == RECORD)
    own = read_record(text.encode()).own
    assert {"/etc/motd", "/etc/chrony/conf.d/site.conf", "/etc/localtime"} <= set(own)
