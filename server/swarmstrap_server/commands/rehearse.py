# SPDX-License-Identifier: GPL-2.0-or-later
"""`swarmstrap rehearse`: an image on virtual nodes before any real one."""

import argparse
from pathlib import Path

from swarmstrap_server.commands import Commands
from swarmstrap_server.lab import fleet
from swarmstrap_server.site.words import ALL


def add_commands(commands: Commands) -> None:
    trial = commands.add_parser("rehearse", help="deploy an image to virtual nodes first")
    add_arguments(trial)
    trial.set_defaults(run=_rehearse)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("image", metavar="IMAGE[:VERSION]")
    parser.add_argument(
        "--node",
        action="append",
        metavar="FIRMWARE,BUS[,NIC]",
        help=f"a virtual node, may be repeated; default {' '.join(fleet.DEFAULT)}",
    )
    parser.add_argument("--memory", default="1GiB", help="of each node (default %(default)s)")
    parser.add_argument("--disk", default="8GiB", help="size of its disk (default %(default)s)")
    parser.add_argument("--cpus", type=int, default=2, help="of each node (default %(default)s)")
    parser.add_argument("--layout", default="", help="default: the site's")
    parser.add_argument(
        "--group", default=ALL, help="whose hooks, overlays and variables they have (default: all)"
    )
    parser.add_argument(
        "--update-to", metavar="IMAGE[:VERSION]", help="update the nodes to this one afterwards"
    )
    parser.add_argument("--finish", choices=("reboot", "kexec", "poweroff"), default="reboot")
    parser.add_argument(
        "--seeder-rate",
        default="2MiB",
        help="the seeder's link, per second; less than the nodes could take, so that they have "
        "to share as a large site does (default %(default)s)",
    )
    parser.add_argument("--work", type=Path, help="folder for disks and logs")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the report as JSON")
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="keep pictures of the screens")
    parser.add_argument("--json", action="store_true", help="print the report as JSON, no picture")


def _rehearse(args: argparse.Namespace) -> int:
    # The whole lab: other commands start sooner without.
    from swarmstrap_server.lab.rehearse import run

    return run(args)
