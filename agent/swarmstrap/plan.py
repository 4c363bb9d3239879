# SPDX-License-Identifier: GPL-2.0-or-later
"""The plan: everything that will happen to one node, decided before anything does.

A pure function of inventory, job and manifest: the node, the server and the tests get the same
steps and the same digest.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from swarmstrap.errors import Unplannable
from swarmstrap.hardware import Inventory
from swarmstrap.layoutcheck import check_layout
from swarmstrap.manifest import Kernel, Manifest, check_architecture
from swarmstrap.placing import Identity, PlacedDisk, PlacedVolume, place_disks
from swarmstrap.render import (
    check_hostname,
    fstab,
    grub_cfg,
    grub_defaults,
    holder,
    hosts,
    kernel_arguments,
    newest,
    own_arguments,
)
from swarmstrap.render_network import network_files
from swarmstrap.steps import (
    FetchImage,
    FinishBoot,
    InstallGrub,
    MakeFilesystem,
    MakeHostKeys,
    MountVolume,
    Plan,
    RemoveFiles,
    RunHook,
    Seed,
    Settle,
    Step,
    WipeDisk,
    WriteFile,
    WritePartitionTable,
)
from swarmstrap.units import MiB, human
from swarmstrap.wire import Interface, Job

# Initramfs and agent take about 450 MiB of a node's memory (measured); the rest is page cache to
# write through. A node of 1 GiB, of which Linux reports 960 MiB, keeps a payload of 320 MiB.
MEMORY_RESERVED = 640 * MiB
# What filesystems take for themselves, and the room in which the first boot writes.
SLACK = 1.1

_GRUB_TARGETS = {
    ("bios", "x86_64"): "i386-pc",
    ("uefi", "x86_64"): "x86_64-efi",
    ("uefi", "aarch64"): "arm64-efi",
}
_CLONED = (
    *(f"/etc/ssh/ssh_host_{kind}_key" for kind in ("rsa", "ecdsa", "ed25519")),
    *(f"/etc/ssh/ssh_host_{kind}_key.pub" for kind in ("rsa", "ecdsa", "ed25519")),
    "/var/lib/dbus/machine-id",
    "/var/lib/systemd/random-seed",
)


@dataclass(frozen=True, slots=True)
class _Target:
    """The system to be: what its files are rendered from."""

    identity: Identity
    volumes: tuple[PlacedVolume, ...]
    root: PlacedVolume
    boot: PlacedVolume
    kernel: Kernel
    arguments: str


def make_plan(inventory: Inventory, job: Job, manifest: Manifest) -> Plan:
    """Raises BadInput for a job that fits no node, Untrusted for an image of another
    architecture, and Unplannable when this node cannot become what the job says.
    """
    check_architecture(manifest, inventory.architecture)
    check_layout(job.layout)
    identity = Identity(job.deployment, job.node)
    disks = place_disks(job.layout, inventory.disks, identity)
    target = _target(disks, identity, job, manifest)
    staging = _staging(inventory, manifest, target)
    leave: list[Step] = [Settle(), Seed(job.seed_seconds)]
    steps: tuple[Step, ...] = (
        *_storage(disks, target),
        FetchImage(
            name=manifest.name,
            version=manifest.version,
            infohash=manifest.infohash,
            payload=manifest.payload.size,
            staging=staging,
        ),
        *_configuration(inventory, job, manifest, target),
        *_hooks(job),
        # Last of all that is written, so that a disk on which anything failed does not boot.
        _grub(inventory, manifest, target),
        # A payload that lies on the new filesystem is served before that is unmounted.
        *(leave if staging == "memory" else reversed(leave)),
        FinishBoot(
            how=job.finish,
            kernel=f"/{target.kernel.image}",
            initrd=f"/{target.kernel.initrd}" if target.kernel.initrd else "",
            arguments=target.arguments,
        ),
    )
    return Plan(steps, digest(steps))


def digest(steps: Sequence[Step]) -> str:
    """sha256, as hex, over the steps as canonical JSON: `[[type, {fields}], ...]`, keys sorted."""
    named = [(type(step).__name__, step) for step in steps]
    return hashlib.sha256(msgspec.json.encode(named, order="sorted")).hexdigest()


def _target(
    disks: Sequence[PlacedDisk], identity: Identity, job: Job, manifest: Manifest
) -> _Target:
    if not manifest.facts.kernels:
        raise Unplannable(
            f"image {manifest.name} {manifest.version} carries no kernel",
            hint="install one before capturing the image",
        )
    kernel = newest(manifest.facts.kernels)
    volumes = tuple(volume for disk in disks for volume in disk.volumes)
    root = holder("/", volumes)
    _check_room(manifest, volumes)
    return _Target(
        identity=identity,
        volumes=volumes,
        root=root,
        boot=holder(f"/{kernel.image}", volumes),
        kernel=kernel,
        arguments=kernel_arguments(root, kernel, job.layout.kernel_arguments),
    )


def _check_room(manifest: Manifest, volumes: Sequence[PlacedVolume]) -> None:
    """The manifest does not say what lies below which mount, so all filesystems count together."""
    room = sum(v.volume.partition.size for v in volumes if v.mount and v.format != "vfat")
    need = int(manifest.unpacked * SLACK)
    if need > room:
        raise Unplannable(
            f"image {manifest.name} {manifest.version} needs {human(need)} unpacked, the layout "
            f"gives it {human(room)}",
            hint="raise size_min of the root partition, or take a larger disk",
        )


def _staging(
    inventory: Inventory, manifest: Manifest, target: _Target
) -> Literal["memory", "target"]:
    """Memory, so that the disk writes each byte once; the new root where memory is too small."""
    staged = manifest.payload.size + manifest.index.size
    if staged + MEMORY_RESERVED <= inventory.memory:
        return "memory"
    room = target.root.volume.partition.size
    if staged + int(manifest.unpacked * SLACK) <= room:
        return "target"
    raise Unplannable(
        f"the compressed image ({human(staged)}) fits neither into {human(inventory.memory)} of "
        f"memory beside {human(MEMORY_RESERVED)} for the agent, nor beside the unpacked one into "
        f"{human(room)} of root partition",
        hint="raise size_min of the root partition, or the node's memory",
    )


def _storage(disks: Sequence[PlacedDisk], target: _Target) -> Iterator[Step]:
    for disk in disks:
        yield WipeDisk(disk.id, disk.signatures)
        partitions = tuple(volume.volume.partition for volume in disk.volumes)
        yield WritePartitionTable(disk.id, disk.uuid, partitions)
    for volume in target.volumes:
        if volume.format:
            label = volume.volume.partition.label
            yield MakeFilesystem(volume.volume, volume.format, label, volume.uuid)
    # A path sorts after every path above it, so parents are mounted first.
    for volume in sorted(target.volumes, key=lambda v: v.mount):
        if volume.mount and volume.format:
            yield MountVolume(volume.volume, volume.format, volume.mount, volume.options)


def _configuration(
    inventory: Inventory, job: Job, manifest: Manifest, target: _Target
) -> Iterator[Step]:
    name = check_hostname(job.hostname or job.node)
    machine_id = target.identity.derive("machine-id").hex
    own = own_arguments(job.layout.kernel_arguments)
    yield RemoveFiles(_CLONED, "no two nodes may share them")
    yield WriteFile("/etc/fstab", fstab(target.volumes), 0o644)
    yield WriteFile("/etc/hostname", f"{name}\n", 0o644)
    yield WriteFile("/etc/hosts", hosts(name), 0o644)
    # Derived, so that the DHCP client identifiers made of it stay the same when a node is redone.
    yield WriteFile("/etc/machine-id", f"{machine_id}\n", 0o444)
    interfaces = job.network or _default_network(inventory)
    yield from network_files(manifest.facts.network_stack, interfaces, target.identity)
    if job.authorized_keys:
        keys = "".join(f"{key}\n" for key in job.authorized_keys)
        yield WriteFile("/root/.ssh/authorized_keys", keys, 0o600)
    yield WriteFile("/etc/default/grub.d/50-swarmstrap.cfg", grub_defaults(own), 0o644)
    cfg = grub_cfg(manifest.facts, target.kernel, target.volumes, target.arguments)
    yield WriteFile("/boot/grub/grub.cfg", cfg, 0o644)
    yield MakeHostKeys()


def _default_network(inventory: Inventory) -> tuple[Interface, ...]:
    """DHCP on the NIC that the node booted from; on every NIC when it booted from none."""
    macs = [inventory.boot_mac] if inventory.boot_mac else [nic.mac for nic in inventory.nics]
    return tuple(Interface(mac=mac) for mac in macs)


def _hooks(job: Job) -> Iterator[Step]:
    for index, hook in sorted(enumerate(job.hooks), key=lambda pair: pair[1].name):
        yield RunHook(index, hook.name, hook.where, hook.timeout)


def _grub(inventory: Inventory, manifest: Manifest, target: _Target) -> InstallGrub:
    """Every platform that the image and the disk allow: a disk may move to other firmware."""
    esp = next((v for v in target.volumes if v.volume.partition.type == "esp"), None)
    wanted = [
        name
        for (firmware, architecture), name in _GRUB_TARGETS.items()
        if architecture == inventory.architecture and (esp or firmware == "bios")
    ]
    needed = _GRUB_TARGETS.get((inventory.firmware, inventory.architecture))
    if needed not in wanted:
        raise Unplannable(
            f"the node boots by {inventory.firmware.upper()} and the layout has no ESP",
            hint="add {label: ESP, type: esp, size: 512MiB, mount: /boot/efi}",
        )
    if needed not in manifest.facts.grub_targets:
        raise Unplannable(
            f"image {manifest.name} {manifest.version} carries no GRUB for {needed}, by which "
            "this node boots",
            hint="install grub-pc-bin and grub-efi-amd64-bin before capturing the image",
        )
    return InstallGrub(
        disk=target.boot.volume.disk,
        targets=tuple(name for name in wanted if name in manifest.facts.grub_targets),
        efi_directory=esp.mount if esp else "",
        nvram=inventory.firmware == "uefi",
        bootloader_id=manifest.facts.os_id or "swarmstrap",
    )
