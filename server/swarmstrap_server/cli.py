# SPDX-License-Identifier: GPL-2.0-or-later
"""The `swarmstrap` command: arguments in, one line out when something is wrong."""

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from swarmstrap.errors import SwarmstrapError
from swarmstrap_server import logform
from swarmstrap_server.commands import capture as cli_capture
from swarmstrap_server.commands import check as cli_check
from swarmstrap_server.commands import completion as cli_completion
from swarmstrap_server.commands import deploy as cli_deploy
from swarmstrap_server.commands import diff as cli_diff
from swarmstrap_server.commands import events as cli_events
from swarmstrap_server.commands import images as cli_images
from swarmstrap_server.commands import keys as cli_keys
from swarmstrap_server.commands import layout as cli_layout
from swarmstrap_server.commands import nodes as cli_nodes
from swarmstrap_server.commands import plan as cli_plan
from swarmstrap_server.commands import power as cli_power
from swarmstrap_server.commands import reaching
from swarmstrap_server.commands import reserve as cli_reserve
from swarmstrap_server.commands import rollout as cli_rollout
from swarmstrap_server.commands import seed as cli_seed
from swarmstrap_server.commands import show as cli_show
from swarmstrap_server.commands import site as cli_site
from swarmstrap_server.commands import status as cli_status
from swarmstrap_server.commands import tokens as cli_tokens
from swarmstrap_server.commands import webhooks as cli_webhooks
from swarmstrap_server.commands import why as cli_why
from swarmstrap_server.commands.exits import Exit, exit_of
from swarmstrap_server.site.reading import denied
from swarmstrap_server.stopping import end_in_order

log = logging.getLogger(__name__)

DEFAULT_SITE = "/srv/swarmstrap"


def main(argv: Sequence[str] | None = None) -> int:
    """The exit status, an Exit where the command has none of its own."""
    parser = make_parser()
    cli_completion.complete(parser)
    args = parser.parse_args(argv)
    logging.basicConfig(
        level=logging.DEBUG if args.verbose else logging.WARNING,
        format=logform.PLAIN,
    )
    end_in_order()
    try:
        reaching.check(args)
        status: int = args.run(args)
    except SwarmstrapError as error:
        if args.verbose:
            log.exception("the error was raised here")
        print(f"swarmstrap: {error}", file=sys.stderr)
        return exit_of(error)
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except PermissionError as error:
        print(f"swarmstrap: {denied(args.site, error)}", file=sys.stderr)
        return Exit.FAILED
    except BrokenPipeError:
        # `swarmstrap node ls | head`: nobody reads on, and Python must not complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.FAILED
    return status


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="swarmstrap", description="Install operating systems on many machines over a swarm."
    )
    parser.add_argument(
        "--site",
        type=Path,
        default=Path(os.environ.get("SWARMSTRAP_SITE", DEFAULT_SITE)),
        metavar="DIR",
        help=f"site folder (default: $SWARMSTRAP_SITE or {DEFAULT_SITE})",
    )
    reaching.add_arguments(parser)
    parser.add_argument("-v", "--verbose", action="store_true", help="say what is going on")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    cli_site.add_commands(commands)
    cli_check.add_commands(commands)
    cli_show.add_commands(commands)
    cli_diff.add_commands(commands)
    cli_capture.add_commands(commands)
    cli_images.add_commands(commands)
    cli_keys.add_commands(commands)
    cli_layout.add_commands(commands)
    cli_nodes.add_commands(commands)
    cli_events.add_commands(commands)
    cli_plan.add_commands(commands)
    cli_deploy.add_commands(commands)
    cli_rollout.add_commands(commands)
    cli_reserve.add_commands(commands)
    cli_power.add_commands(commands)
    cli_why.add_commands(commands)
    cli_seed.add_commands(commands)
    cli_status.add_commands(commands)
    cli_tokens.add_commands(commands)
    cli_webhooks.add_commands(commands)
    cli_completion.add_commands(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
