# SPDX-License-Identifier: GPL-2.0-or-later
"""What makes one system of an image's copy: names, identities, network, boot files, hooks."""

from collections.abc import Iterator
from dataclasses import dataclass

from swarmstrap.arguments import merged
from swarmstrap.errors import Unplannable
from swarmstrap.hardware import Inventory
from swarmstrap.manifest import Facts, Kernel, Manifest
from swarmstrap.networks.files import network_files
from swarmstrap.overlays import overlay_steps, words_of
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
from swarmstrap.steps.system import MakeHostKeys, RemoveFiles, RunHook, WriteFile
from swarmstrap.wire import Job

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
        arguments=kernel_arguments(root, kernel, _wanted(placed, job, manifest.facts)),
    )


def _wanted(placed: Placed, job: Job, facts: Facts) -> str:
    """What the kernel is told beside its root."""
    own = [*assembling(placed.making, facts), *job.layout.kernel_arguments.split()]
    return merged(facts.kernel_arguments, own)


def machine_id(identity: Identity) -> str:
    """Derived: the DHCP client identifiers made of it stay the same when a node is redone."""
    return identity.derive("machine-id").hex


def remove_clones() -> RemoveFiles:
    return RemoveFiles(_CLONED, "no two nodes may share them")


def configuration(
    inventory: Inventory, job: Job, manifest: Manifest, system: System
) -> Iterator[Step]:
    """Every file that is this node's and not the image's; raises BadInput for a bad host name,
    Unplannable for a template that names what nobody said.
    """
    name = check_hostname(job.hostname or job.node)
    facts = manifest.facts
    yield WriteFile("/etc/fstab", fstab(system.placed.volumes), 0o644)
    yield from stack_files(system.placed.making, facts)
    yield WriteFile("/etc/hostname", f"{name}\n", 0o644)
    yield WriteFile("/etc/hosts", hosts(name), 0o644)
    yield WriteFile("/etc/machine-id", f"{machine_id(system.identity)}\n", 0o444)
    yield from network_files(facts, job.network, inventory, system.identity)
    if job.authorized_keys:
        keys = "".join(f"{key}\n" for key in job.authorized_keys)
        yield WriteFile("/root/.ssh/authorized_keys", keys, 0o600)
    if facts.grub_targets or facts.signed_boot:
        own = own_arguments(_wanted(system.placed, job, facts))
        yield WriteFile("/etc/default/grub.d/50-swarmstrap.cfg", grub_defaults(own), 0o644)
        cfg = grub_cfg(facts, system.kernel, system.placed.volumes, system.arguments)
        yield WriteFile(f"/{facts.grub_folder}/grub.cfg", cfg, 0o644)
    if facts.systemd_boot:
        yield WriteFile("/etc/kernel/cmdline", f"{system.arguments}\n", 0o644)
    yield MakeHostKeys()
    yield from overlay_steps(job.overlays, words_of(job))


def hooks(job: Job) -> Iterator[Step]:
    for index, hook in sorted(enumerate(job.hooks), key=lambda pair: pair[1].name):
        yield RunHook(index, hook.name, hook.where, hook.timeout)


def finish(job: Job, system: System) -> FinishBoot:
    return FinishBoot(
        how=job.finish,
        kernel=f"/{system.kernel.image}",
        initrd=f"/{system.kernel.initrd}" if system.kernel.initrd else "",
        arguments=system.arguments,
    )
