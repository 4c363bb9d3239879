# SPDX-License-Identifier: GPL-2.0-or-later
"""`swarmstrap-agent`: one boot of a node, or a look at what it would see and do."""

import argparse
import asyncio
import contextlib
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from swarmstrap.cmdline import Settings, parse
from swarmstrap.describe import describe
from swarmstrap.errors import BadInput, SwarmstrapError
from swarmstrap.failure import explain
from swarmstrap.hardware import Inventory
from swarmstrap.lldp import with_neighbours
from swarmstrap.manifest import parse_manifest
from swarmstrap.plan import choices, make_plan
from swarmstrap.reporter import Reporter
from swarmstrap.selectors import verdict_lines
from swarmstrap.story import run
from swarmstrap.wire import Job

log = logging.getLogger(__name__)

Value = TypeVar("Value")

# A node that cannot even begin shows why for this long, and asks its firmware again.
_READ_SECONDS = 60.0


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0, 1 after an error that was told in one line, 2 for wrong usage."""
    arguments = _parser().parse_args(argv)
    try:
        match arguments.command:
            case "boot":
                boot(arguments.cmdline)
            case "update":
                update(arguments)
            case "inventory":
                show_inventory(arguments.listen, as_json=arguments.json)
            case _:
                show_plan(arguments.inventory, arguments.job, as_json=arguments.json)
    except SwarmstrapError as error:
        print(f"swarmstrap-agent: {error}", file=sys.stderr)
        return 1
    return 0


def boot(cmdline: Path) -> None:
    """Be a node, from the first look to the new system. Comes back only when that fails."""
    from swarmstrap.effects import clock
    from swarmstrap.effects import log as logs
    from swarmstrap.effects.console import Console, active, terminals
    from swarmstrap.effects.finish import leave
    from swarmstrap.effects.hardware.sysfs import memory
    from swarmstrap.effects.images.unpack import Writers
    from swarmstrap.effects.transfer.fetch import writer_count

    logs.start()
    behind = clock.forward()
    # First of all: the writers are copies of this process, small and without a secret.
    writers = Writers.start(writer_count(memory()))
    console = Console(terminals(active()))

    from swarmstrap.effects.host import Machine

    async def live(settings: Settings) -> None:
        report = Reporter([console.hear])
        if behind:
            report.warn(
                f"the clock was {behind / 86400:.0f} days behind and was set forward",
                hint="it is as old as the initramfs now; look at the machine's battery",
            )
        living = asyncio.create_task(console.live())
        try:
            await run(Machine(settings, report, console, writers), report, settings)
        finally:
            living.cancel()

    try:
        asyncio.run(live(parse(cmdline.read_text())))
    except Exception as error:
        log.exception("the agent stopped")
        console.lines(
            ["", f"!!! FAILED: {explain(error)}", f"!!! rebooting in {_READ_SECONDS:.0f} s"]
        )
        time.sleep(_READ_SECONDS)
        leave("reboot")


def update(arguments: argparse.Namespace) -> None:
    """Bring an installed system, this one or another, to another version of its image."""
    from swarmstrap.effects.images import live_update
    from swarmstrap.sshsig import Signers

    wish = live_update.Wish(
        root=arguments.root,
        image=arguments.image,
        signers=Signers(arguments.keys, arguments.keys.with_name("revoked_keys")),
        preserve=tuple(arguments.preserve),
        checksum=arguments.checksum,
        allow_older=arguments.allow_older,
        forget_hooks=arguments.forget_hooks,
    )
    if arguments.dry_run:
        changes = live_update.compare(wish)
    else:
        changes = live_update.update(wish, lambda line: print(line, file=sys.stderr))
    if arguments.json:
        print(msgspec.json.encode(changes).decode())
    elif arguments.dry_run:
        print("\n".join((*changes.lines(), changes.summary())))


def show_inventory(listen: int, *, as_json: bool) -> None:
    """Waits `listen` seconds for switches to say which port this is; only root hears them."""
    from swarmstrap.effects.hardware import udev
    from swarmstrap.effects.hardware.lldp import Listener

    inventory = udev.look("")
    if listen:
        with contextlib.closing(Listener()) as listener:
            inventory = with_neighbours(inventory, listener.heard(listen))
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(inventory)).decode())
    else:
        print("\n".join(describe(inventory)))


def show_plan(inventory: Path, job: Path, *, as_json: bool) -> None:
    """The plan that a node with this inventory would make; signatures are the node's to check."""
    wanted, found = _decode(job, Job), _decode(inventory, Inventory)
    selections = choices(found, wanted)
    if not as_json:
        # Even when there is no plan for them, these are the disks.
        print("\n".join(verdict_lines(selections)))
    plan = make_plan(found, wanted, parse_manifest(wanted.manifest))
    if as_json:
        told = {"digest": plan.digest, "disks": selections, "lines": plan.lines()}
        print(msgspec.json.encode(told).decode())
        return
    for number, line in enumerate(plan.lines(), start=1):
        print(f"{number:3}. {line}")
    print(f"digest {plan.digest}")


def _decode(path: Path, kind: type[Value]) -> Value:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: {error}", hint=f"it must be a {kind.__name__} as JSON") from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="swarmstrap-agent", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    booting = commands.add_parser("boot", help="install this machine, as its server says")
    booting.add_argument("--cmdline", type=Path, default=Path("/proc/cmdline"))
    _add_update(
        commands.add_parser("update", help="bring a system to another version of its image")
    )
    inventory = commands.add_parser("inventory", help="show what this machine is")
    inventory.add_argument("--json", action="store_true")
    inventory.add_argument(
        "--listen",
        type=int,
        default=0,
        metavar="SECONDS",
        help="wait for switches to name their ports (LLDP); most do every 30 s",
    )
    plan = commands.add_parser("plan", help="show the plan for an inventory and a job; no effects")
    plan.add_argument("--inventory", type=Path, required=True, metavar="FILE")
    plan.add_argument("--job", type=Path, required=True, metavar="FILE")
    plan.add_argument("--json", action="store_true", help="for programs")
    return parser


def _add_update(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--root", type=Path, default=Path("/"), help="of the system (default: /)")
    parser.add_argument(
        "--image", required=True, metavar="URL|DIR", help="as in http://SERVER:8080/images/NAME"
    )
    parser.add_argument(
        "--keys",
        type=Path,
        default=Path("/etc/swarmstrap/allowed_signers"),
        metavar="FILE",
        help="the publisher's public keys (default: %(default)s)",
    )
    parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
    parser.add_argument(
        "--preserve",
        action="append",
        default=[],
        metavar="PATH",
        help="leave alone; may be repeated",
    )
    parser.add_argument("--checksum", action="store_true", help="read data, trust no time")
    parser.add_argument("--allow-older", action="store_true", help="go back to an older version")
    parser.add_argument("--forget-hooks", action="store_true", help="what hooks made may go")
    parser.add_argument("--json", action="store_true", help="the changes, for programs")
