# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line as a whole: what every command has, what docs/commands.md says, completion.

`pytest tests/unit/test_command_line.py --update` writes the table of docs/commands.md.
"""

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from swarmstrap_server import cli
from swarmstrap_server.commands.exits import Exit
from swarmstrap_server.site import making

DOCS = Path(__file__).parents[2] / "docs" / "commands.md"
# Some say nothing; some print a file for another program; two run until they are stopped.
WITHOUT_JSON = {
    "completion",
    "dhcp",
    "disarm",
    "layout import",
    "layout render",
    "layout schema",
    "seed",
    "serve",
    "token revoke",
}
SECONDS = 60.0
_ROWS = re.compile(r"(?<=\|---\|---\|---\|\n)(?:\| `.*\n)+")


@dataclass(frozen=True)
class Command:
    """One that does something; `elsewhere` when it can ask a server by its URL."""

    name: str
    summary: str
    options: frozenset[str]
    elsewhere: bool

    @property
    def row(self) -> str:
        return f"| `{self.name}` | {'yes ' if self.elsewhere else ''}| {self.summary} |\n"


def commands(parser: argparse.ArgumentParser, path: tuple[str, ...] = ()) -> Iterator[Command]:
    below = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    for action in below:
        summaries = {choice.dest: choice.help or "" for choice in action._choices_actions}
        for word, inner in action.choices.items():
            name = (*path, word)
            if any(isinstance(a, argparse._SubParsersAction) for a in inner._actions):
                yield from commands(inner, name)
                continue
            options = frozenset(o for a in inner._actions for o in a.option_strings)
            elsewhere = bool(inner.get_default("remote"))
            yield Command(" ".join(name), summaries[word], options, elsewhere)


COMMANDS = sorted(commands(cli.make_parser()), key=lambda command: command.name)


def test_every_command_that_says_something_says_it_as_json() -> None:
    assert {c.name for c in COMMANDS if "--json" not in c.options} == WITHOUT_JSON


def test_the_page_has_every_command(request: pytest.FixtureRequest) -> None:
    page = DOCS.read_text()
    written = _ROWS.sub(lambda _: "".join(command.row for command in COMMANDS), page)
    if request.config.getoption("--update"):
        DOCS.write_text(written)
    assert DOCS.read_text() == written


def test_the_page_has_every_exit_status() -> None:
    rows = re.findall(r"^\| (\d+) \|", DOCS.read_text(), re.MULTILINE)
    assert [int(row) for row in rows] == list(Exit)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    making.init(tmp_path / "site", "lab", ["192.0.2.1"], None)
    nodes = tmp_path / "site" / "nodes" / "lab.yaml"
    nodes.write_text("nodes: [{name: web1, mac: 52:54:00:00:00:01}]\n")
    image = tmp_path / "site" / "images" / "debian" / "12"
    image.mkdir(parents=True)
    (image / "manifest.json").write_text("{}")
    return tmp_path / "site"


def completed(line: str, folder: Path) -> set[str]:
    """What a shell in which `line` was typed is told, by argcomplete's protocol."""
    environment = {
        **os.environ,
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_IFS": "\n",
        "_ARGCOMPLETE_SUPPRESS_SPACE": "1",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(folder / "told"),
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
    }
    subprocess.run(
        [sys.executable, "-m", "swarmstrap_server.cli"],
        env=environment,
        timeout=SECONDS,
        check=True,
        capture_output=True,
    )
    return set((folder / "told").read_text().split("\n"))


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("--site {site} deploy deb", {"debian:12"}),
        ("--site {site} deploy debian:12 --to ", {"all", "web1"}),
        ("--site {site}/none node show ", set()),
    ],
)
def test_words_are_completed(site: Path, tmp_path: Path, typed: str, told: set[str]) -> None:
    found = completed(f"swarmstrap {typed.format(site=site)}", tmp_path)
    assert {word for word in found if not word.startswith("--") or word in told} == told


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_lines_for_a_shell(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["completion", shell]) == Exit.DONE
    assert "swarmstrap" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("completion bash", Exit.DONE),
        ("layout schema", Exit.DONE),
        ("layout explain {layout}", Exit.DONE),
        ("layout explain {layout} --node web1", Exit.FAILED),
        ("image prune", Exit.FAILED),
    ],
)
def test_a_server_in_the_environment_stops_what_needs_a_site_of_its_own(
    site: Path,
    line: str,
    status: Exit,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("SWARMSTRAP_SERVER", "https://192.0.2.1:8444")
    words = line.format(layout=site / "layouts" / "default.yaml").split()
    assert cli.main(["--site", str(site), *words]) == status
    assert ("works on the image host alone" in capsys.readouterr().err) == (status != Exit.DONE)


def test_bash_takes_the_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["completion", "bash"]) == Exit.DONE
    script = f"{capsys.readouterr().out}\ncomplete -p swarmstrap"
    ended = subprocess.run(
        ["bash", "--norc", "-c", script], capture_output=True, text=True, timeout=SECONDS
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "swarmstrap" in ended.stdout


@pytest.fixture
def stranger(site: Path) -> Iterator[Path]:
    """A site folder for whose files the test is nobody, also where root runs it."""
    site.chmod(0)
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    yield site
    os.seteuid(before)
    site.chmod(0o755)


@pytest.mark.parametrize("line", ["check", "node ls", "key ls", "image ls", "hook sign", "serve"])
def test_who_may_not_read_the_site_is_told_in_one_line(
    stranger: Path, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["--site", str(stranger), *line.split()]) == Exit.FAILED
    [said] = capsys.readouterr().err.splitlines()
    assert str(stranger) in said
    assert "Permission denied" in said


@pytest.mark.parametrize("line", ["deploy debian --to web1", "status", "token ls"])
def test_who_may_not_speak_to_the_server_is_told_so(
    stranger: Path, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["--site", str(stranger), *line.split()]) == Exit.FAILED
    [said] = capsys.readouterr().err.splitlines()
    assert "swarmstrap: not allowed to " in said


@pytest.mark.parametrize("line", ["check", "node ls", "image ls"])
def test_what_is_no_site_folder_is_an_error(
    tmp_path: Path, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["--site", str(tmp_path), *line.split()]) == Exit.FAILED
    assert f"{tmp_path} is not a site folder" in capsys.readouterr().err


def test_a_certificate_that_is_none_is_a_problem_of_the_site(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (site / "keys/server.crt").write_text("junk")
    assert cli.main(["--site", str(site), "check"]) == Exit.FAILED
    [said] = capsys.readouterr().err.splitlines()
    assert said.startswith("keys/server.crt: not a certificate in PEM (remove it")


@pytest.mark.parametrize("address", ["", "192.0.2.256", "192.0.2", "2001:db8::x", "a b"])
def test_init_takes_no_address_with_a_slip_in_it(
    tmp_path: Path, address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "site"
    assert cli.main(["--site", str(folder), "init", "--address", address]) == Exit.FAILED
    assert "neither an address nor a host name" in capsys.readouterr().err
    assert not folder.exists()
