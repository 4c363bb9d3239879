# SPDX-License-Identifier: GPL-2.0-or-later
"""What bad input gets: one clear line wherever somebody looks, whole disks, and a known end."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from tests.http.conftest import SYSTEM, Live, inventory, serving
from tests.http.node import DEADLINE, Booted, Lab

from swarmstrap.effects import host
from swarmstrap.hardware import Disk, Inventory
from swarmstrap.manifest import MANIFEST_FILE, SIGNATURE_FILE, SIGNATURE_NAMESPACE
from swarmstrap.units import GiB, MiB
from swarmstrap_server import deployments, pki
from swarmstrap_server.hooks import sign_hooks
from swarmstrap_server.operator_wire import Arm
from swarmstrap_server.paths import SitePaths
from swarmstrap_server.publish import publish
from swarmstrap_server.signing import Key
from swarmstrap_server.site import read_site

NODE = "n1"
WHOLE = inventory()
# What the node's file says to do after a failure, and how the machine is then left.
POLICIES = {
    "retry, attempts: 3, then: poweroff": ["poweroff"],
    "poweroff": ["poweroff"],
    "reboot": ["reboot"],
    "shell": ["shell", "reboot"],
}


@pytest.fixture
def lab(
    site: SitePaths,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> Lab:
    caplog.set_level("INFO")
    return Lab(site.keys, tmp_path / "node", monkeypatch, caplog)


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
    sign_hooks(read_site(site.root), Key(site.publisher))
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


def hook_changed(live: Live) -> None:
    hook = add_hook(live.paths, "true")
    hook.write_text("#!/bin/sh\nrm -rf /\n")


def wide_image(live: Live) -> None:
    """A newer version that does not fit into the smallest root of the layout."""
    source = live.paths.root / "wide"
    for name, content in {**SYSTEM, "wide": bytes(range(256)) * (40 * MiB // 256)}.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(content)
    publish(source, "tiny", "2", live.services.images, Key(live.paths.publisher), level=1)
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


SIGN = "sign it with the publisher's key, or build the initramfs with that key's public half"
AGAIN = "arm again: swarmstrap deploy tiny:1 --to n1"
CASES = {
    "manifest signed by a stranger": Case(
        after=signed_by_a_stranger,
        message="the image's signature does not hold: .+",
        hint=SIGN,
    ),
    "manifest not signed": Case(after=unsigned, message="the image has no signature", hint=SIGN),
    "manifest of another architecture": Case(
        found=msgspec.structs.replace(inventory(), architecture="aarch64"),
        message="image tiny 1 is for x86_64, this node is aarch64",
        hint="deploy an image of the node's architecture",
    ),
    "hook changed after signing": Case(
        before=hook_changed,
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
            r"\s+/dev/sda +20 GiB  matches \(ACME 7, Sa\)"
            r"\s+/dev/sdb +2 GiB  size 2 GiB is not >= 4GiB"
            r"\s+/dev/sdc +20 GiB  matches \(ACME 7, Sc\)"
        ),
        hint="narrow `match` in the layout, or say `prefer: smallest` or `prefer: largest`",
    ),
    "layout too large": Case(
        before=layout("size_min: 2GiB", "size_min: 40GiB"),
        message=r"system does not fit on /dev/vda: layout needs \d+ MiB .*the disk has \d+ MiB .*",
        hint="lower size_min, or give a partition a priority so that it may be dropped",
    ),
    "image larger than root": Case(
        before=wide_image,
        message=r"image tiny 2 needs 44\.\d MiB unpacked, the layout gives it 32 MiB",
        hint="raise size_min of the root partition, or take a larger disk",
    ),
}


async def boot(live: Live, lab: Lab, case: Case) -> Booted:
    case.before(live)
    order = Arm(nodes=(NODE,), image="tiny", minutes=30)
    await asyncio.to_thread(live.operator.arm, order)
    case.after(live)
    return await lab.boot_watched(live, NODE, case.found)


@pytest.mark.parametrize("name", CASES)
async def test_one_clear_line_everywhere_and_not_a_byte_written(
    name: str, live: Live, lab: Lab
) -> None:
    case = CASES[name]
    fails_by(live.paths, "poweroff")
    booted = await boot(live, lab, case)

    assert booted.written == []
    assert booted.left == (["poweroff"] if case.has_job else ["reboot"])
    assert live.services.deployments.view(NODE).state == case.state

    assert booted.box.startswith(f"FAILED: {case.part} on {NODE} "), booted.console
    # Wrapped to the screen, so without the alignment of a table.
    assert re.search(re.sub(r" +|\\s\+", " +", case.console or case.message), booted.box)

    [record] = booted.failures
    assert record.event.name == case.event
    assert re.fullmatch(case.message, record.event.description)
    assert re.fullmatch(case.hint, record.event.hint)

    told = [line for line in booted.watched.splitlines() if "FAILED" in line]
    assert len(told) == 1
    first = record.event.description.splitlines()[0]
    assert told[0].startswith(f"{NODE}  {case.event}  FAILED {first}")
    assert record.event.hint in booted.watched

    for text in (booted.console, booted.watched, *(r.event.description for r in booted.records)):
        assert "Traceback" not in text


@pytest.mark.parametrize("action", POLICIES)
async def test_the_node_is_left_as_its_job_says(action: str, live: Live, lab: Lab) -> None:
    fails_by(live.paths, action)
    booted = await boot(live, lab, CASES["no disk matches"])
    assert booted.left == POLICIES[action]
    assert booted.written == []
    assert len(booted.failures) == 1  # what cannot change is not tried again


async def test_a_token_that_comes_too_late(
    live: Live, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deployments, "TOKEN_SECONDS", 0.0)
    late = Case(message=r"token expired at .+", hint=AGAIN, event="server/refused", part="ask")
    booted = await boot(live, lab, late)
    [record] = booted.failures
    assert re.fullmatch(late.message, record.event.description)
    assert (booted.written, booted.left) == ([], ["reboot"])
    assert live.services.deployments.view(NODE).state == "armed"  # the next boot gets a new one


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo no licence; exit 3", "hook 50-refuses exited 3"),
        ("sleep 1000", "hook 50-refuses: .* did not end within 1 s: .*"),
    ],
)
async def test_a_hook_that_fails_is_tried_as_often_as_the_job_says(
    script: str, message: str, live: Live, lab: Lab
) -> None:
    add_hook(live.paths, script)
    with live.paths.settings.open("a") as settings:
        settings.write("defaults: {hook_seconds: 1}\n")
    fails_by(live.paths, "retry, attempts: 2, then: shell")
    booted = await boot(live, lab, Case(message=message, hint=".+"))

    while_trying = r" \(while trying to run hook 50-refuses in the initramfs \(at most 1 s\)\)"
    ends = [r.event for r in booted.records if r.event.kind == "finish" and r.event.hint]
    assert [end.result for end in ends] == ["warning", "fail"]
    for end in ends:
        assert re.fullmatch(r"do/hooks/\d+", end.name)
        assert re.fullmatch(message + while_trying, end.description)
    assert booted.box.count("FAILED: hooks on n1 hook 50-refuses") == 2
    assert "trying again in" in booted.console
    assert "run it by hand with swarmstrap.break=hooks" in booted.box

    deployment = live.services.deployments.view(NODE).deployment
    assert deployment is not None
    assert (deployment.state, deployment.reason) == ("failed", ends[-1].description)
    assert booted.watched.count("FAILED hook 50-refuses") == 1
    assert f"n1 failed: {deployment.reason}" in booted.watched
    assert "Traceback" not in booted.console + booted.watched

    assert booted.left == ["shell", "reboot"]
    assert booted.written[0].startswith("wipe /dev/vda")
    assert not any("GRUB" in step for step in booted.written)  # nothing half done is bootable


async def test_a_hooks_last_words_are_in_the_event_log(live: Live, lab: Lab) -> None:
    add_hook(live.paths, "echo no licence; exit 3")
    fails_by(live.paths, "poweroff")
    booted = await boot(live, lab, Case(message="", hint=""))
    assert "50-refuses: no licence" in [record.event.description for record in booted.records]
    assert "50-refuses: no licence" in booted.console
    assert booted.left == ["poweroff"]


async def test_a_server_that_comes_late_hears_of_every_try(site: SitePaths, lab: Lab) -> None:
    async with serving(site) as live:
        await asyncio.to_thread(live.operator.arm, Arm(nodes=(NODE,), image="tiny"))
    booting = asyncio.create_task(lab.boot(live.node, disks()))
    await asyncio.wait_for(lab.hears("trying again in", times=2), DEADLINE)
    async with serving(site) as live:
        node = await booting
        told = [record.event.description for record in live.services.deployments.store.events(NODE)]
        assert live.services.deployments.view(NODE).state == "failed"  # it has no disk
    waiting = f"{live.node} does not answer: Connection refused; trying again in"
    assert sum(line.startswith(waiting) for line in told) >= 2
    assert (node.written, node.left) == ([], ["reboot"])


async def test_a_server_that_never_comes(
    site: SitePaths, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "SERVER_SECONDS", 0.5)
    url = read_site(site.root).node_url
    node = await lab.boot(url, inventory())
    assert " ".join(lab.console.split()).count("trying again in") >= 2
    assert f"!!! FAILED: ask\n!!! {url} does not answer: Connection refused\n" in lab.console
    assert "!!! what to do: check the server, the cable and the address" in lab.console
    assert "Traceback" not in lab.console
    assert (node.written, node.left) == ([], ["reboot"])


async def test_the_server_of_another_site(live: Live, lab: Lab, tmp_path: Path) -> None:
    other = tmp_path / "other.crt"
    other.write_bytes(pki.make_ca("other").certificate)
    lab.patch.setattr(host, "CA", other)
    await asyncio.to_thread(live.operator.arm, Arm(nodes=(NODE,), image="tiny"))
    booted = await lab.boot_watched(live, NODE, inventory())
    assert re.match(
        f"FAILED: ask {live.node} is not this site's server: .*certificate.* "
        "what to do: check the address, or build the initramfs with this site's CA",
        booted.box,
    )
    assert "trying again" not in booted.console
    assert (booted.written, booted.left) == ([], ["reboot"])
    assert live.services.deployments.view(NODE).state == "armed"
