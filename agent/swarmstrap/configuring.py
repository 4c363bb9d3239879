# SPDX-License-Identifier: GPL-2.0-or-later
"""What makes one system of an image's copy: names, identities, network, boot files, hooks, GRUB."""

from collections.abc import Iterator
from dataclasses import dataclass

from swarmstrap.errors import Unplannable
from swarmstrap.hardware import Inventory
from swarmstrap.manifest import Kernel, Manifest
from swarmstrap.networks.files import network_files
from swarmstrap.placing import Identity, PlacedVolume
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
from swarmstrap.stackfiles import assembling, stack_files
from swarmstrap.stacking import Placed
from swarmstrap.steps import Step
from swarmstrap.steps.leaving import FinishBoot
from swarmstrap.steps.system import InstallGrub, MakeHostKeys, RemoveFiles, RunHook, WriteFile
from swarmstrap.volumes import DiskId, PartitionVolume
from swarmstrap.wire import Job

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
class System:
    """The system to be: what its files are rendered from."""

    identity: Identity
    placed: Placed
    root: PlacedVolume
    boot: PlacedVolume
    kernel: Kernel
    arguments: str


def make_system(placed: Placed, identity: Identity, job: Job, manifest: Manifest) -> System:
    """Raises Unplannable for an image that cannot boot by itself."""
    if not manifest.facts.kernels:
        raise Unplannable(
            f"image {manifest.name} {manifest.version} carries no kernel",
            hint="install one before capturing the image",
        )
    kernel = newest(manifest.facts.kernels)
    root = holder("/", placed.volumes)
    return System(
        identity=identity,
        placed=placed,
        root=root,
        boot=holder(f"/{kernel.image}", placed.volumes),
        kernel=kernel,
        arguments=kernel_arguments(
            root, kernel, " ".join([*assembling(placed.making), job.layout.kernel_arguments])
        ),
    )


def remove_clones() -> RemoveFiles:
    return RemoveFiles(_CLONED, "no two nodes may share them")


def configuration(
    inventory: Inventory, job: Job, manifest: Manifest, system: System
) -> Iterator[Step]:
    """Every file that is this node's and not the image's; raises BadInput for a bad host name."""
    name = check_hostname(job.hostname or job.node)
    machine_id = system.identity.derive("machine-id").hex
    own = own_arguments(job.layout.kernel_arguments)
    yield WriteFile("/etc/fstab", fstab(system.placed.volumes), 0o644)
    yield from stack_files(system.placed.making, manifest.facts.os_id)
    yield WriteFile("/etc/hostname", f"{name}\n", 0o644)
    yield WriteFile("/etc/hosts", hosts(name), 0o644)
    # Derived, so that the DHCP client identifiers made of it stay the same when a node is redone.
    yield WriteFile("/etc/machine-id", f"{machine_id}\n", 0o444)
    yield from network_files(manifest.facts, job.network, inventory, system.identity)
    if job.authorized_keys:
        keys = "".join(f"{key}\n" for key in job.authorized_keys)
        yield WriteFile("/root/.ssh/authorized_keys", keys, 0o600)
    yield WriteFile("/etc/default/grub.d/50-swarmstrap.cfg", grub_defaults(own), 0o644)
    cfg = grub_cfg(manifest.facts, system.kernel, system.placed.volumes, system.arguments)
    yield WriteFile("/boot/grub/grub.cfg", cfg, 0o644)
    yield MakeHostKeys()


def hooks(job: Job) -> Iterator[Step]:
    for index, hook in sorted(enumerate(job.hooks), key=lambda pair: pair[1].name):
        yield RunHook(index, hook.name, hook.where, hook.timeout)


def grub(inventory: Inventory, manifest: Manifest, system: System) -> InstallGrub:
    """Every platform that the image and the disk allow: a disk may move to other firmware."""
    esp = next((v for v in system.placed.volumes if v.type == "esp"), None)
    booted, machine = inventory.boot.current_boot_mode, inventory.cpu.architecture
    wanted = [
        name
        for (firmware, architecture), name in _GRUB_TARGETS.items()
        if architecture == machine and (esp or firmware == "bios")
    ]
    needed = _GRUB_TARGETS.get((booted, machine))
    if needed not in wanted:
        raise Unplannable(
            f"the node boots by {booted.upper()} and the layout has no ESP",
            hint="add {label: ESP, type: esp, size: 512MiB, mount: /boot/efi}",
        )
    if needed not in manifest.facts.grub_targets:
        raise Unplannable(
            f"image {manifest.name} {manifest.version} carries no GRUB for {needed}, by which "
            "this node boots",
            hint="install grub-pc-bin and grub-efi-amd64-bin before capturing the image",
        )
    return InstallGrub(
        disk=_boot_disk(system),
        targets=tuple(name for name in wanted if name in manifest.facts.grub_targets),
        efi_directory=esp.mounts[0].target if esp else "",
        nvram=booted == "uefi",
        bootloader_id=manifest.facts.os_id or "swarmstrap",
    )


def _boot_disk(system: System) -> DiskId:
    volume = system.boot.volume
    return volume.disk if isinstance(volume, PartitionVolume) else system.placed.disks[0].id


def finish(job: Job, system: System) -> FinishBoot:
    return FinishBoot(
        how=job.finish,
        kernel=f"/{system.kernel.image}",
        initrd=f"/{system.kernel.initrd}" if system.kernel.initrd else "",
        arguments=system.arguments,
    )
