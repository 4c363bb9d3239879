# SPDX-License-Identifier: GPL-2.0-or-later
"""What the kernel says is mounted, whatever the mount points are called."""

import pytest

from swarmstrap.mountinfo import Mount, contains, parse_mounts


def test_mountinfo() -> None:
    lines = rb"""22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
23 22 0:21 / /a\040b\134\303 rw - proc proc rw
24 22 0:39 /@home /home rw - btrfs /dev/sda2 rw,subvol=/@home
"""
    assert parse_mounts(lines) == [
        Mount(b"/", (8, 1), "ext4", b"/", b"rw", b"/dev/sda1"),
        Mount(b"/a b\\\xc3", (0, 21), "proc", b"/", b"rw", b"proc"),
        Mount(b"/home", (0, 39), "btrfs", b"/@home", b"rw,subvol=/@home", b"/dev/sda2"),
    ]


@pytest.mark.parametrize(
    ("directory", "path", "expected"),
    [
        (b"/", b"/srv", True),
        (b"/srv", b"/srv", True),
        (b"/srv", b"/srv/images", True),
        (b"/srv", b"/srvother", False),
        (b"/srv/images", b"/srv", False),
    ],
)
def test_what_is_below_what(directory: bytes, path: bytes, expected: bool) -> None:
    assert contains(directory, path) is expected
