# SPDX-License-Identifier: GPL-2.0-or-later
"""What is asked of a machine before anything is copied from it; needs nothing but `sh` there."""

import os
import shlex
from dataclasses import dataclass

import msgspec

from swarmstrap.errors import BadInput, SwarmstrapError
from swarmstrap.mountinfo import Mount, parse_mounts
from swarmstrap.units import Bytes

# Administrators' programs are not on everybody's path.
PREPARE = """\
set -u
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
LC_ALL=C
export PATH LC_ALL
"""
_SCRIPT = """\
main() {
    root=
    test "$(id -u)" = 0 || root='sudo -n'
    echo "==user"
    id -un
    echo "==root"
    echo "$root"
    echo "==rsync"
    command -v rsync
    echo "==may-read"
    $root rsync --version | head -n 1
    echo "==may-snapshot"
    $root sh -c 'echo yes'
    echo "==btrfs"
    command -v btrfs
    echo "==path"
    (cd -P -- "$path" && pwd)
    echo "==mounts"
    cat /proc/self/mountinfo
    echo "==volumes"
    $root lvs --reportformat json --units b --nosuffix -o "$columns"
    echo "==end"
}
main 2>/dev/null </dev/null
"""


@dataclass(frozen=True, slots=True)
class Volume:
    """A logical volume; `pool` is empty unless it is a thin one, `free` is its group's room."""

    group: str
    name: str
    size: Bytes
    free: Bytes
    pool: str
    device: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Survey:
    """`elevate` is what a command is put behind to run as root; `path` has no symlinks left.

    `can_snapshot` is whether root's commands other than rsync may be run.
    """

    path: bytes
    elevate: str
    can_snapshot: bool
    has_btrfs: bool
    mounts: list[Mount]
    volumes: list[Volume]


class _Row(msgspec.Struct):
    vg_name: str
    lv_name: str
    lv_size: str
    vg_free: str
    pool_lv: str
    lv_kernel_major: str
    lv_kernel_minor: str


class _Rows(msgspec.Struct):
    lv: list[_Row]


class _Report(msgspec.Struct):
    report: list[_Rows]


def survey_script(path: bytes) -> str:
    columns = ",".join(_Row.__struct_fields__)
    said = f"path={shlex.quote(os.fsdecode(path))}\ncolumns={columns}\n"
    return f"{PREPARE}{said}{_SCRIPT}"


def parse_survey(output: str, host: str, path: bytes) -> Survey:
    """`output` is what the script printed; raises SwarmstrapError when the machine cannot be
    copied from.
    """
    _, *parts = output.split("==user\n", 1)
    sections: dict[str, str] = {}
    for part in "".join(["user\n", *parts]).split("\n=="):
        name, _, text = part.partition("\n")
        sections[name] = text
    if "end" not in sections:
        raise SwarmstrapError(
            f"{host} has no shell that runs commands",
            hint=f"try: ssh {host} 'exec sh -s' </dev/null",
        )
    _check(sections, host, path)
    return Survey(
        path=os.fsencode(sections["path"]),
        elevate=sections["root"],
        can_snapshot=sections["may-snapshot"] == "yes",
        has_btrfs=bool(sections["btrfs"]),
        mounts=_mounts(sections["mounts"], host),
        volumes=_volumes(sections["volumes"]),
    )


def _check(sections: dict[str, str], host: str, path: bytes) -> None:
    user = sections["user"]
    if not sections["rsync"]:
        raise BadInput(f"{host} has no rsync", hint="install the package rsync there")
    if not sections["may-read"]:
        raise BadInput(
            f"{user} cannot read all of {host}",
            hint=f"name root in the URL, or allow there: {user} ALL=(root) NOPASSWD: "
            f"{sections['rsync']}",
        )
    if not sections["path"]:
        raise BadInput(
            f"{os.fsdecode(path)!r} is no directory of {host} that {user} can enter",
            hint="name the root of a system",
        )


def _mounts(mountinfo: str, host: str) -> list[Mount]:
    try:
        mounts = parse_mounts(os.fsencode(mountinfo))
    except ValueError:
        mounts = []
    if not mounts:
        raise SwarmstrapError(
            f"{host} does not say what is mounted there", hint="see its /proc/self/mountinfo"
        )
    return mounts


def _volumes(report: str) -> list[Volume]:
    try:
        rows = msgspec.json.decode(report, type=_Report).report
    except msgspec.MsgspecError:
        return []  # no LVM there, or nobody who may ask
    return [
        Volume(
            group=row.vg_name,
            name=row.lv_name,
            size=Bytes(int(row.lv_size)),
            free=Bytes(int(row.vg_free)),
            pool=row.pool_lv,
            device=(int(row.lv_kernel_major), int(row.lv_kernel_minor)),
        )
        for group in rows
        for row in group.lv
    ]
