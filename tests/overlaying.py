# SPDX-License-Identifier: GPL-2.0-or-later
"""An overlay in two versions, and what a system must be that was deployed with the first, changed
by its administrator, and updated with the second.
"""

import os
import shutil
import stat
from pathlib import Path

GROUPS = """\
groups:
- {name: all, overlays: [base], variables: {ntp: 192.0.2.5}}
"""
TABLE = 'files:\n  /usr/local/sbin/note: {group: 4, mode: "0750"}\n'
TEMPLATE = "# $SWARMSTRAP_HOSTNAME\nserver $SWARMSTRAP_VAR_ntp\n"
# Each start notes what it finds where updates leave things alone, and changes it afterwards.
NOTE = """\
#!/bin/sh
cat /etc/motd /etc/ntp.conf >>/srv/notes
echo local | tee -a /etc/motd >>/etc/ntp.conf
"""
UNIT = """\
[Unit]
Before=swarmstrap-report-boot.service

[Service]
Type=oneshot
ExecStart=/usr/local/sbin/note
"""
_FIRST = {
    "etc/motd": "first\n",
    "etc/ntp.conf.tmpl": TEMPLATE,
    "etc/issue.net": "until it is withdrawn\n",
    "usr/local/share/gone": "until it is withdrawn\n",
    "usr/local/sbin/note": NOTE,
    "etc/systemd/system/note.service": UNIT,
}
_ENABLED = "etc/systemd/system/multi-user.target.wants/note.service"


def write_first(site: Path) -> None:
    """For all nodes of the `site`, which has no groups yet; to be signed."""
    (site / "groups.yaml").write_text(GROUPS)
    folder = site / "overlays" / "base"
    for name, text in _FIRST.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / "usr/local/sbin/note").chmod(0o700)
    (folder / _ENABLED).parent.mkdir()
    (folder / _ENABLED).symlink_to("../note.service")
    folder.with_name("base.yaml").write_text(TABLE)


def write_second(site: Path) -> None:
    """In place of the first: one file is another, two are withdrawn. To be signed."""
    folder = site / "overlays" / "base"
    (folder / "etc/motd").write_text("second\n")
    (folder / "etc/issue.net").unlink()
    shutil.rmtree(folder / "usr/local/share")


def note(root: Path) -> None:
    """What a start of the system in `root` does."""
    with (root / "srv/notes").open("a") as notes:
        for name in ("etc/motd", "etc/ntp.conf"):
            notes.write((root / name).read_text())
            with (root / name).open("a") as file:
                file.write("local\n")


def check(root: Path, hostname: str, issue: str) -> None:
    """`root` has started once with each version; `issue` is what the image has in issue.net."""
    told = f"# {hostname}\nserver 192.0.2.5\n"
    assert (root / "srv/notes").read_text() == f"first\n{told}second\n{told}"
    assert (root / "etc/motd").read_text() == "second\nlocal\n"
    assert (root / "etc/issue.net").read_text() == issue
    assert not (root / "usr/local/share/gone").exists()
    assert os.readlink(root / _ENABLED) == "../note.service"
    status = (root / "usr/local/sbin/note").stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o750, 0, 4)
    for name in ("etc/motd", "etc/ntp.conf", "etc/issue.net"):
        assert stat.S_IMODE((root / name).stat().st_mode) == 0o644
