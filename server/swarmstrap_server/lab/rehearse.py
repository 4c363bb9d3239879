# SPDX-License-Identifier: GPL-2.0-or-later
"""`swarmstrap rehearse`: what is rehearsed, its live picture, its report."""

import argparse
import asyncio
import secrets
from collections.abc import Sequence
from typing import cast

import msgspec
from rich.console import Console

from swarmstrap.units import Bytes, parse_size
from swarmstrap.wire import Finish
from swarmstrap_server.images.library import Image, ImageStore
from swarmstrap_server.lab import fleet, report
from swarmstrap_server.lab.lab_site import LabSite
from swarmstrap_server.lab.live import Screen
from swarmstrap_server.lab.machines import VirtualNode
from swarmstrap_server.lab.rehearsal import Rehearsal, rehearse
from swarmstrap_server.site.reading import Site, read_site


def run(arguments: argparse.Namespace) -> int:
    """0 when every node was deployed, started from its disk and left its decoy alone; else 1."""
    rehearsal = _rehearsal(arguments)
    console = Console(stderr=arguments.json)
    with Screen(console) as screen:
        result = asyncio.run(rehearse(rehearsal, screen.show))
    if arguments.report:
        report.write(result, arguments.report)
    if arguments.json:
        Console().print_json(msgspec.json.encode(result).decode())
    else:
        console.print(report.table(result))
        if words := report.last_words(result):
            console.print(words, highlight=False, markup=False, soft_wrap=True)
        console.print(f"disks and logs: {rehearsal.work}", highlight=False)
    return 0 if result.passed() else 1


def _rehearsal(arguments: argparse.Namespace) -> Rehearsal:
    real = read_site(arguments.site)
    image = _image(real, arguments.image)
    layout = arguments.layout or real.settings.defaults.layout
    real.layout(layout)
    parse_size(arguments.seeder_rate)
    return Rehearsal(
        real=real,
        image=image,
        nodes=tuple(_nodes(arguments)),
        lab=LabSite(
            layout=layout,
            finish=cast("Finish", arguments.finish),
            seeder_rate=arguments.seeder_rate,
            nonce=secrets.token_hex(16),
            group=arguments.group,
        ),
        work=arguments.work or real.paths.root / "rehearsal",
        pictures=arguments.pictures,
        update_to=_image(real, arguments.update_to) if arguments.update_to else None,
    )


def _image(real: Site, wanted: str) -> Image:
    name, _, version = wanted.partition(":")
    return ImageStore(real.paths.images).get(name, version or None)


def _nodes(arguments: argparse.Namespace) -> Sequence[VirtualNode]:
    return fleet.parse(
        arguments.node or fleet.DEFAULT,
        memory=parse_size(arguments.memory),
        disk=Bytes(parse_size(arguments.disk)),
        cpus=arguments.cpus,
    )
