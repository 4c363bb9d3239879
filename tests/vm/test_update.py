# SPDX-License-Identifier: GPL-2.0-or-later
"""A node that runs one version of an image is updated to the next, and starts from its disk again.

The image is the demo's Debian; what a hook writes where data are preserved stays, and is written
once more by each run of the hook. An overlay changes between the two. The node is switched on by
IPMI, for the deployment and for the update.
"""

import asyncio
import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests import overlaying
from tests.applying import applied
from tests.bmc.switched import Switched
from tests.vm.disturbing import until

from swarmstrap.units import Bytes, GiB
from swarmstrap_server import cli
from swarmstrap_server.images.library import ImageStore
from swarmstrap_server.images.signing import Key
from swarmstrap_server.lab import demo, fleet, report
from swarmstrap_server.lab.lab_site import LabSite
from swarmstrap_server.lab.progress import Progress
from swarmstrap_server.lab.rehearsal import Rehearsal, rehearse
from swarmstrap_server.lab.serving import LabServer
from swarmstrap_server.site.reading import read_site
from swarmstrap_server.site.signatures import sign

BUILD = Path(__file__).parents[2] / "build"
WORK = BUILD / "vm" / "update"
SITE = WORK / "site"
HOOK = "#!/bin/sh\necho run >>/srv/runs\n"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")


def test_a_node_is_updated_in_place() -> None:
    issue = prepare()
    real = read_site(SITE)
    images = ImageStore(real.paths.images)
    bmc = Switched("ipmi")
    rehearsal = Rehearsal(
        real=real,
        image=images.get("system", "1"),
        nodes=tuple(fleet.parse(["bios,virtio-blk"], memory=GiB, disk=Bytes(8 * GiB), cpus=2)),
        lab=LabSite(
            layout="default", finish="reboot", seeder_rate="8MiB", nonce=secrets.token_hex(16)
        ),
        work=WORK / "rehearsal",
        update_to=images.get("system", "2"),
        disturb=change_overlay,
        orders=bmc,
    )
    result = asyncio.run(rehearse(rehearsal, lambda nodes: None))
    report.write(result, WORK / "report.json")
    said = json.loads((WORK / "report.json").read_bytes())
    print(json.dumps(said, indent=2))
    (node,) = said["nodes"]
    assert (node["result"], node["reason"], node["boots"]) == ("deployed", "", 2)
    assert (bmc.asked, bmc.statuses) == (["network", "on"] * 2, [0, 0])
    assert node["from_seeder_bytes"] + node["from_peers_bytes"] >= said["payload_bytes"]
    assert 0 < node["update_bytes"] < said["payload_bytes"] / 4
    with root_of(WORK / "rehearsal" / "bios-virtio" / "system.raw") as root:
        assert (root / "usr/share/doc/new/README").read_text() == "new in 2\n"
        assert (root / "etc/issue").read_text() == "the second version\n"
        assert not (root / "usr/share/doc/tar").exists()
        assert (root / "usr/share/doc/gzip/copyright/now").read_text() == "a directory\n"
        assert (root / "srv/runs").read_text() == "run\n" * 2
        assert not (root / "var/lib/swarmstrap/updating").exists()
        record = json.loads((root / "var/lib/swarmstrap/deployed.json").read_bytes())
        assert (record["name"], record["version"]) == ("system", "2")
        overlaying.check(root, "bios-virtio", issue)


async def change_overlay(server: LabServer, nodes: Sequence[Progress]) -> None:
    """While the system starts for the first time."""
    (node,) = nodes
    await until("the node is installed", lambda: node.stage in ("starting", "failed"))
    overlaying.write_second(server.paths.root)
    sign(read_site(server.paths.root), "overlay", Key(server.paths.publisher))


def prepare() -> str:
    """A site with the demo's installer, a hook, an overlay, and two versions of the demo's image;
    what both have in issue.net.
    """
    demo.prepare(BUILD / "demo")
    shutil.rmtree(WORK, ignore_errors=True)
    assert swarmstrap("init", "--address", "10.77.0.1") == 0
    installer = BUILD / "demo" / "site" / "boot"
    (SITE / "boot").mkdir(exist_ok=True)
    for name in ("vmlinuz", "initramfs.img"):
        shutil.copyfile(installer / name, SITE / "boot" / name)
    hook = SITE / "hooks" / "chroot" / "10-note"
    hook.parent.mkdir(parents=True, exist_ok=True)
    hook.write_text(HOOK)
    assert swarmstrap("hook", "sign") == 0
    overlaying.write_first(SITE)
    assert swarmstrap("overlay", "sign") == 0
    root = WORK / "root"
    root.mkdir()
    image = ImageStore(BUILD / "demo" / "site" / "images").latest(demo.IMAGE)
    asyncio.run(applied(image.directory, image.manifest, root))
    issue = (root / "etc/issue.net").read_text()
    capture(root, "1")
    change(root)
    capture(root, "2")
    shutil.rmtree(root)
    return issue


def change(root: Path) -> None:
    doc = root / "usr/share/doc"
    (doc / "new").mkdir()
    (doc / "new/README").write_text("new in 2\n")
    (root / "etc/issue").write_text("the second version\n")
    shutil.rmtree(doc / "tar")
    (doc / "gzip/copyright").unlink()
    (doc / "gzip/copyright").mkdir()
    (doc / "gzip/copyright/now").write_text("a directory\n")


def capture(root: Path, version: str) -> None:
    assert swarmstrap("capture", str(root), f"system:{version}", "--level", "1") == 0


def swarmstrap(*arguments: str) -> int:
    return cli.main(["--site", str(SITE), *arguments])


@contextmanager
def root_of(disk: Path) -> Iterator[Path]:
    """Its root filesystem, to be read; a journal that is not clean is left alone."""
    table = json.loads(
        subprocess.run(["sfdisk", "--json", disk], capture_output=True, check=True).stdout
    )["partitiontable"]
    (offset,) = (part["start"] * 512 for part in table["partitions"] if part["name"] == "root")
    place = disk.parent / "mounted"
    place.mkdir(exist_ok=True)
    options = f"loop,ro,noload,offset={offset}"
    subprocess.run(["mount", "-o", options, disk, place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)
