# SPDX-License-Identifier: GPL-2.0-or-later
"""The tree that apply and capture are measured with: Debian with the tools of a programmer."""

from pathlib import Path

from swarmstrap_server.lab.debian import Selection

PLACE = Path("build/bench")

# About 80,000 files in 2 GB: programs and libraries, kernel modules, headers, manuals.
WORKSTATION = Selection(
    (
        "build-essential",
        "emacs-nox",
        "gdb",
        "git",
        "golang-src",
        "initramfs-tools",
        "iproute2",
        "libboost-dev",
        "linux-headers-amd64",
        "linux-image-amd64",
        "manpages-dev",
        "openssh-server",
        "python3-dev",
        "python3-scipy",
        "python3-sphinx",
        "systemd-sysv",
        "udev",
        "vim",
    )
)
