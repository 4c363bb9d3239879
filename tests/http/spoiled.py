# SPDX-License-Identifier: GPL-2.0-or-later
"""Ways in which a deployment is spoiled before it begins, and what is to be said of each."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
from tests.http.conftest import SYSTEM, Live, inventory

from swarmstrap.floors import Floors, encode
from swarmstrap.hardware import Cpu, Disk, Inventory
from swarmstrap.manifest import MANIFEST_FILE, SIGNATURE_FILE, SIGNATURE_NAMESPACE
from swarmstrap.units import GiB, MiB
from swarmstrap_server.images.publish import publish
from swarmstrap_server.images.signing import Key
from swarmstrap_server.images.sources.directory import Directory
from swarmstrap_server.site.paths import SitePaths
from swarmstrap_server.site.reading import read_site
from swarmstrap_server.site.signatures import sign

WHOLE = inventory()


def disks(*sizes: int) -> Inventory:
    found = tuple(
        Disk(name=f"/dev/sd{letter}", size=size, model="ACME 7", serial=f"S{letter}")
        for letter, size in zip("abc", sizes, strict=False)
    )
    return msgspec.structs.replace(inventory(), disks=found)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def fails_by(site: SitePaths, action: str) -> None:
    edit(
        site.root / "nodes/lab.yaml",
        "- name: n1\n",
        f"- name: n1\n  failure: {{action: {action}}}\n",
    )


def add_hook(site: SitePaths, script: str) -> Path:
    hook = site.root / "hooks/initramfs/50-refuses"
    hook.parent.mkdir(parents=True, exist_ok=True)
    hook.write_text(f"#!/bin/sh\n{script}\n")
    sign(read_site(site.root), "hook", Key(site.publisher))
    return hook


# What is wrong: before the operator arms the node, or between that and its boot.


def layout(old: str, new: str) -> Callable[[Live], None]:
    return lambda live: edit(live.paths.root / "layouts/default.yaml", old, new)


def signed_by_a_stranger(live: Live) -> None:
    image = live.services.images.get("tiny", "1").directory
    stranger = Key.generate(live.paths.root / "stranger")
    signature = stranger.sign((image / MANIFEST_FILE).read_bytes(), SIGNATURE_NAMESPACE)
    (image / SIGNATURE_FILE).write_bytes(signature)


def unsigned(live: Live) -> None:
    (live.services.images.get("tiny", "1").directory / SIGNATURE_FILE).unlink()


def removed(live: Live) -> None:
    live.services.images.rm("tiny", "1")


def with_hook(live: Live) -> None:
    add_hook(live.paths, "true")


def hook_changed(live: Live) -> None:
    hook = live.paths.root / "hooks/initramfs/50-refuses"
    hook.write_text("#!/bin/sh\nrm -rf /\n")
    live.services.deployments.roster.reload()


def below_the_floor(live: Live) -> None:
    """Of the node: a server that lies does not care."""
    floors = Floors(floors={"tiny": "2999-01-01T00:00:00Z"})
    (live.paths.root / "floors.json").write_bytes(encode(floors))


def wide_image(live: Live) -> None:
    """A newer version that does not fit into the smallest root of the layout."""
    source = live.paths.root / "wide"
    for name, content in {**SYSTEM, "wide": bytes(range(256)) * (40 * MiB // 256)}.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(content)
    key = Key(live.paths.publisher)
    publish(Directory(source), "tiny", "2", live.services.images, key, level=1)
    layout("size_min: 2GiB, weight: 1", "size: 32MiB")(live)


def expired(live: Live) -> None:
    live.clock.now += 31 * 60


def stolen(live: Live) -> None:
    """Somebody else is quicker with every token."""
    genuine = live.services.deployments.register

    def register(*arguments: object) -> object:
        registered = genuine(*arguments)  # type: ignore[arg-type]
        live.services.deployments.take_job(registered.token, "thief")
        return registered

    live.services.deployments.register = register  # type: ignore[method-assign,assignment]


def nothing(live: Live) -> None:
    """All is well on the server."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """`message` and `hint` are regular expressions; `event` is who says so in the event log."""

    before: Callable[[Live], None] = nothing
    after: Callable[[Live], None] = nothing
    found: Inventory = WHOLE
    message: str
    hint: str
    event: str = "decide"
    part: str = "decide"
    state: str = "failed"
    # Where the node's own words are others.
    console: str = ""
    # What the job says about failures counts once the node has a job.
    has_job: bool = True


SIGN = "sign it with the publisher's key"
AGAIN = "arm again: swarmstrap deploy tiny:1 --to n1"
CASES = {
    "manifest signed by a stranger": Case(
        after=signed_by_a_stranger,
        message="the image's signature does not hold: it is of key SHA256:.+, which is none of .+",
        hint=f"{SIGN}, or allow that key: swarmstrap key add, then swarmstrap initramfs",
    ),
    "manifest not signed": Case(after=unsigned, message="the image has no signature", hint=SIGN),
    "manifest of another architecture": Case(
        found=msgspec.structs.replace(inventory(), cpu=Cpu(architecture="aarch64")),
        message="image tiny 1 is for x86_64, this node is aarch64",
        hint="deploy an image of the node's architecture",
    ),
    "image older than the node's floor": Case(
        after=below_the_floor,
        message=r"image tiny 1 is of \d{4}-.+: nothing older than 2999-01-01T00:00:00Z is deployed",
        hint="deploy a newer version; floors.yaml of the site says so",
    ),
    "hook changed after signing": Case(
        before=with_hook,
        after=hook_changed,
        message="hook 50-refuses: the hook's signature does not hold: .+",
        hint="run swarmstrap hook sign",
    ),
    "image removed": Case(
        after=removed,
        message="there is no image tiny:1",
        hint="images of this site: none",
        event="server/refused",
        part="ask",
        state="armed",
        has_job=False,
    ),
    "token used by somebody else": Case(
        after=stolen,
        message=r"token was already used at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d",
        hint=AGAIN,
        event="server/refused",
        part="ask",
        state="deploying",
        has_job=False,
    ),
    "arming expired": Case(
        after=expired,
        message="the arming expired before the node came",
        console=r"the arming for tiny:1 expired at \d{4}-.+ the local disk boots next",
        hint=AGAIN,
        event="server/expired",
        part="ask",
        state="ready",
        has_job=False,
    ),
    "no disk at all": Case(
        found=disks(),
        message="no disk for system: this node has none that its kernel can see",
        hint="look for devices without a driver in the inventory",
    ),
    "no disk matches": Case(
        found=disks(2 * GiB),
        message=r"no disk matches system, of 1 seen\s+/dev/sda +2 GiB  size 2 GiB is not >= 4GiB",
        hint="loosen `match` in the layout, or deploy to another node",
    ),
    "two disks match": Case(
        before=layout("  prefer: smallest\n", ""),
        found=disks(20 * GiB, 2 * GiB, 20 * GiB),
        message=(
            r"2 disks match system, where exactly one must"
            r"\s+/dev/sda +20 GiB  matches \(Sa, ACME 7\)"
            r"\s+/dev/sdb +2 GiB  size 2 GiB is not >= 4GiB"
            r"\s+/dev/sdc +20 GiB  matches \(Sc, ACME 7\)"
        ),
        hint="narrow `match` in the layout, or say `prefer: smallest` or `prefer: largest`",
    ),
    "layout too large": Case(
        before=layout("size_min: 2GiB", "size_min: 40GiB"),
        message=r"system does not fit on /dev/vda: layout needs \d+ MiB .*there are \d+ MiB .*",
        hint="lower size_min, or give a partition a priority so that it may be dropped",
    ),
    "image larger than root": Case(
        before=wide_image,
        message=r"image tiny 2 needs 44\.\d MiB unpacked, the layout gives it 32 MiB",
        hint="raise size_min of the root partition, or take a larger disk",
    ),
}
