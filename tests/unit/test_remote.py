# SPDX-License-Identifier: GPL-2.0-or-later
"""Another machine: how it is named, what it answers, what rsync is told and says."""

import subprocess
from pathlib import Path

import pytest

from swarmstrap.errors import BadInput, SwarmstrapError, Unreachable, Untrusted
from swarmstrap.mountinfo import Mount
from swarmstrap.units import Bytes, GiB
from swarmstrap_server.images.remote import rsync
from swarmstrap_server.images.remote.host import Access, Location, Remote, parse_location, refusal
from swarmstrap_server.images.remote.skipping import not_copied
from swarmstrap_server.images.remote.survey import Volume, parse_survey, survey_script
from swarmstrap_server.images.source import CaptureFailed
from swarmstrap_server.images.strip import chosen


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("ssh://web1", Location("", "web1", 22, b"/")),
        ("ssh://root@web1.example:2222/", Location("root", "web1.example", 2222, b"/")),
        ("ssh://Web1/srv//a%20b/./%FF/", Location("", "Web1", 22, b"/srv/a b/\xff")),
        ("ssh://[fd00::1]:22/", Location("", "fd00::1", 22, b"/")),
    ],
)
def test_location(url: str, expected: Location) -> None:
    assert parse_location(url) == expected
    assert parse_location(str(expected)) == expected


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("ssh://-oProxyCommand=id/", "is no host"),
        ("ssh://root@-x/", "is no host"),
        ("ssh:///etc", "'' is no host"),
        ("ssh://a b/", "is no host"),
        ("ssh://$(id)/", "is no host"),
        ("ssh://..%2f/", "is no host"),
        ("ssh://[::x]/", "IPv6|is no host"),
        ("ssh://-l@web1/", "'-l' is no user"),
        ("ssh://a;b@web1/", "is no user"),
        ("ssh://root:secret@web1/", "a password does not belong there"),
        ("ssh://web1:0x16/", "[Pp]ort"),
        ("ssh://web1:99999/", "[Pp]ort"),
        ("ssh://web1/what?", "%3F"),
        ("ssh://web1/what?ever", "%3F"),
        ("ssh://web1/srv/../etc", "directly"),
        ("ssh://web1/a%00b", "directly"),
        ("ssh://web1/a%0Ab", "directly"),
        ("ssh://web1/" + "d" * 250, "too long"),
    ],
)
def test_location_refused(url: str, problem: str) -> None:
    with pytest.raises(BadInput, match=problem):
        parse_location(url)


def test_mirrors_of_different_places_have_different_names() -> None:
    urls = ("web1", "web1/srv", "web1/srv/x", "web1/srv%252Fx", "web1:2222/srv", "web1-srv", "a:1")
    keys = {parse_location(f"ssh://{url}").key for url in (*urls, "[a::1]")}
    assert len(keys) == len(urls) + 1
    assert not any("/" in key for key in keys)


def test_ssh_is_told_of_files_with_blanks(tmp_path: Path) -> None:
    known = tmp_path / "100% known hosts"
    known.touch()
    words = Remote(parse_location("ssh://web1"), Access(known_hosts=known)).ssh
    assert f'UserKnownHostsFile="{tmp_path}/100%% known hosts"' in words
    assert "StrictHostKeyChecking=yes" in words
    with pytest.raises(BadInput, match="there is no file"):
        Remote(parse_location("ssh://web1"), Access(identity=tmp_path / "missing"))


@pytest.mark.parametrize(
    ("stderr", "kind", "message"),
    [
        (
            "debug1: Server host key: ssh-ed25519 SHA256:abc\nHost key verification failed.\n",
            Untrusted,
            "not known: it shows ssh-ed25519 SHA256:abc",
        ),
        (
            "debug1: Server host key: ssh-rsa SHA256:abc\n"
            "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\n"
            "Offending ED25519 key in /root/.ssh/known_hosts:7\nHost key verification failed.\n",
            Untrusted,
            r"ssh-keygen -R '\[web1\]:2222' -f /root/.ssh/known_hosts",
        ),
        (
            "debug1: x\nroot@web1: Permission denied (publickey).\n",
            Untrusted,
            r"lets nobody in .*: root@web1: Permission denied \(publickey\)",
        ),
        (
            "ssh: connect to host web1 port 2222: Connection refused\n",
            Unreachable,
            "cannot reach web1: ssh: connect to host web1 port 2222: Connection refused",
        ),
    ],
)
def test_refusals(stderr: str, kind: type[SwarmstrapError], message: str) -> None:
    error = refusal(parse_location("ssh://web1:2222"), "~/.ssh/known_hosts", stderr)
    assert isinstance(error, kind)
    with pytest.raises(kind, match=message):
        raise error


_LVS = """
  {"report": [{"lv": [{"vg_name":"vg0", "lv_name":"root", "lv_size":"8589934592",
  "vg_free":"4294967296", "pool_lv":"", "lv_kernel_major":"254", "lv_kernel_minor":"0"}]}]}
"""


def answer(**changed: str) -> str:
    sections = {
        "user": "root",
        "root": "",
        "rsync": "/usr/bin/rsync",
        "may-read": "rsync  version 3.2.7  protocol version 31",
        "may-snapshot": "yes",
        "btrfs": "",
        "path": "/srv/sy==stem",
        "mounts": "22 1 254:0 / / rw - ext4 /dev/dm-0 rw",
        "volumes": _LVS,
    }
    sections |= {name.replace("_", "-"): text for name, text in changed.items()}
    said = "".join(f"=={name}\n{text}\n" for name, text in sections.items())
    return f"Welcome!\n{said}==end\n".replace("\n\n", "\n")


def test_survey() -> None:
    survey = parse_survey(answer(), "web1", b"/srv")
    volume = Volume("vg0", "root", Bytes(8 * GiB), Bytes(4 * GiB), "", (254, 0))
    assert survey.path == b"/srv/sy==stem"
    assert (survey.elevate, survey.can_snapshot, survey.has_btrfs) == ("", True, False)
    assert survey.mounts == [Mount(b"/", (254, 0), "ext4", b"/", b"rw", b"/dev/dm-0")]
    assert survey.volumes == [volume]


@pytest.mark.parametrize("said", ["", "lvs: unknown option", '{"report": 1}'])
def test_survey_without_lvm(said: str) -> None:
    assert parse_survey(answer(volumes=said), "web1", b"/srv").volumes == []


@pytest.mark.parametrize(
    ("output", "problem"),
    [
        ("This account is not available.\n", "web1 has no shell that runs commands"),
        (answer(rsync="", may_read=""), r"web1 has no rsync \(install the package rsync there\)"),
        (
            answer(user="admin", root="sudo -n", may_read=""),
            r"admin cannot read all of web1 .* admin ALL=\(root\) NOPASSWD: /usr/bin/rsync\)",
        ),
        (answer(mounts="?"), "web1 does not say what is mounted there"),
        (answer(path=""), "'/srv' is no directory of web1 that root can enter"),
    ],
)
def test_survey_of_a_machine_that_cannot_be_copied(output: str, problem: str) -> None:
    with pytest.raises(SwarmstrapError, match=problem):
        parse_survey(output, "web1", b"/srv")


def test_survey_of_this_machine(tmp_path: Path) -> None:
    place = tmp_path / "it's a\\ $(place)"
    place.mkdir()
    script = survey_script(bytes(place))
    output = subprocess.run(["sh", "-s"], input=script, capture_output=True, text=True, check=True)
    assert output.stderr == ""
    sections = output.stdout.split("\n==")
    assert f"path\n{place}" in sections
    assert sections[-1] == "end\n"


def test_what_need_not_be_copied() -> None:
    patterns = set(not_copied(chosen(["logs"], ["/data/", "srv/*.iso", "odd[!a]", "a?", "\\\\*"])))
    assert patterns >= {b"/data", b"/srv/**.iso", b"/tmp/*"}
    assert not patterns & {b"/var/log/lastlog"}
    assert not any(set(b"[?\\\\") & set(pattern) for pattern in patterns)
    assert list(not_copied(chosen(["all"], []))) == []


def test_rsync_command() -> None:
    words = rsync.command(
        ssh=["ssh", "-o", 'UserKnownHostsFile="/it\'s"'],
        elevate="sudo -n",
        host="fd00::1",
        place=b"/srv/*[x]\\",
        target=Path("/mirror/tree"),
        partial=Path("/mirror/partial"),
        filters=[b"H /proc/*"],
    )
    assert words[-3:] == [b"--filter=H /proc/*", rb"[fd00::1]:/srv/\*\[x]\\/", b"/mirror/tree/"]
    assert "--rsync-path=sudo -n rsync" in words
    assert """--rsh='ssh' '-o' 'UserKnownHostsFile="/it''s"'""" in words


@pytest.mark.parametrize(
    ("line", "path", "progress"),
    [
        (b"    1234567  42%   10.00MB/s    0:00:10 (xfr#5, to-chk=7/30)", None, (1234567, 42)),
        (b">f.st...... etc/a file", b"etc/a file", None),
        (b"cL+++++++++ etc/link -> x", b"etc/link -> x", None),
        (b"*deleting   etc/gone", b"etc/gone", None),
        (b".d..t...... etc/", None, None),
        (b"receiving file list ... done", None, None),
    ],
)
def test_what_rsync_says(line: bytes, path: bytes | None, progress: tuple[int, int] | None) -> None:
    assert rsync.change(line) == path
    assert rsync.progress(line) == progress


@pytest.mark.parametrize(
    ("status", "stderr", "kind", "message"),
    [
        (
            23,
            'rsync: [sender] read errors mapping "/etc/a": Input/output error (5)\nrsync error\n',
            CaptureFailed,
            'from web1: rsync: .sender. read errors mapping "/etc/a"',
        ),
        (11, "rsync: write failed: No space left on device (28)\n", CaptureFailed, "make room"),
        (255, "Connection to web1 closed by remote host.\n", Unreachable, "goes on where this one"),
        (30, "", Unreachable, "rsync ended with 30"),
    ],
)
def test_failures(status: int, stderr: str, kind: type[SwarmstrapError], message: str) -> None:
    with pytest.raises(kind, match=message):
        raise rsync.failure(status, stderr, "web1")
