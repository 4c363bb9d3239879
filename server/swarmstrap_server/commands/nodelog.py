# SPDX-License-Identifier: GPL-2.0-or-later
"""`swarmstrap node log`: what a node wrote, after the node has gone."""

import argparse

from swarmstrap_server.commands import Commands
from swarmstrap_server.commands.reaching import operator
from swarmstrap_server.commands.telling import add_json, tell


def add_action(actions: Commands) -> None:
    log = actions.add_parser("log", help="the log of a node's last deployment")
    log.add_argument("node")
    log.add_argument("--kernel", action="store_true", help="the kernel's last lines instead")
    add_json(log)
    log.set_defaults(run=_log, remote=True)


def _log(args: argparse.Namespace) -> int:
    log = operator(args).node_log(args.node)
    tell(args, log, log.kernel if args.kernel else log.agent)
    return 0
