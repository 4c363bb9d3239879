# SPDX-License-Identifier: GPL-2.0-or-later
"""What an installed system knows of its deployment: a record that updates read, and write anew."""

from collections.abc import Iterable

import msgspec

from swarmstrap.arguments import merged
from swarmstrap.errors import Refused
from swarmstrap.manifest import Manifest
from swarmstrap.placing import Identity, PlacedVolume
from swarmstrap.render import grub_cfg, holder, kernel_arguments, newest
from swarmstrap.stackfiles import assembling
from swarmstrap.stacking import Placed
from swarmstrap.steps import Step
from swarmstrap.steps.system import LayOverlay, WriteFile
from swarmstrap.wire import Job

FOLDER = "/var/lib/swarmstrap"
RECORD = f"{FOLDER}/deployed.json"
# Is there while an update is under way, and after one that was interrupted.
UPDATING = f"{FOLDER}/updating"


_DEPLOY_UPDATE = "swarmstrap deploy --mode update does it"


class Deployed(msgspec.Struct, frozen=True, kw_only=True):
    """`deployment` is the one that partitioned the disks; `own` are the files that it wrote itself;
    `hooks` changed the system in ways that nobody else knows; `preserve` is the job's.
    """

    deployment: str
    node: str
    name: str
    version: str
    created: str
    infohash: str
    own: tuple[str, ...]
    hooks: tuple[str, ...]
    preserve: tuple[str, ...]
    kernel_arguments: str
    volumes: tuple[PlacedVolume, ...]

    @property
    def title(self) -> str:
        return f"{self.name} {self.version}"

    @property
    def mounts(self) -> tuple[str, ...]:
        """Where the image's files lie: not on what was there before and was preserved."""
        new = (volume for volume in self.volumes if not volume.preserved)
        return tuple(mount.target for volume in new for mount in volume.mounts)


def record(
    identity: Identity,
    job: Job,
    manifest: Manifest,
    placed: Placed,
    steps: Iterable[Step],
) -> WriteFile:
    """`steps` are those that make the system this node's."""
    deployed = Deployed(
        deployment=identity.deployment,
        node=identity.node,
        name=manifest.name,
        version=manifest.version,
        created=manifest.created,
        infohash=manifest.infohash,
        own=own_paths(steps),
        hooks=tuple(hook.name for hook in job.hooks if hook.where == "chroot"),
        preserve=job.preserve,
        kernel_arguments=" ".join(
            [*assembling(placed.making, manifest.facts), job.layout.kernel_arguments]
        ),
        volumes=placed.volumes,
    )
    return write_record(deployed)


def own_paths(steps: Iterable[Step]) -> tuple[str, ...]:
    """What `steps` write in place of the image's files."""
    paths: list[str] = []
    for step in steps:
        if isinstance(step, WriteFile):
            paths.append(step.path)
        elif isinstance(step, LayOverlay):
            paths += (file.path for file in step.files)
    return tuple(dict.fromkeys(paths))


def write_record(deployed: Deployed) -> WriteFile:
    text = msgspec.json.format(msgspec.json.encode(deployed, order="sorted"), indent=1)
    return WriteFile(RECORD, text.decode() + "\n", 0o644)


def read_record(data: bytes | None) -> Deployed:
    """`data` is the record's file, None when there is none; raises Refused unless it is one."""
    if data is None:
        raise Refused(
            f"no system of ours: it has no {RECORD}", hint="deploy the image to this node"
        )
    try:
        return msgspec.json.decode(data, type=Deployed)
    except msgspec.DecodeError as error:
        raise Refused(
            f"{RECORD} cannot be read: {error}", hint="deploy the image to this node"
        ) from error


def check_update(found: Deployed, manifest: Manifest, *, allow_older: bool) -> None:
    """Raises Refused for an image of the same name that is older than what is there."""
    if found.name == manifest.name and manifest.created < found.created and not allow_older:
        raise Refused(
            f"{manifest.name} {manifest.version} of {manifest.created} is older than what is "
            f"there, {found.version} of {found.created}",
            hint="ask with --allow-older to go back",
        )


def check_live(found: Deployed, *, own_initramfs: bool) -> None:
    """Raises Refused when more has to be made than grub.cfg for the system to start again."""
    if own_initramfs:
        why = "its initramfs was made on the node, and the image's might not find its root"
    elif not any(path.endswith("/grub.cfg") for path in found.own):
        why = "its kernel is started from the ESP, which only a deployment writes"
    else:
        return
    raise Refused(f"{found.title} cannot be updated here: {why}", hint=_DEPLOY_UPDATE)


def check_identity(found: Deployed, identity: Identity) -> None:
    """Raises Refused when what is there was deployed for another node, or at another time."""
    if (found.deployment, found.node) != (identity.deployment, identity.node):
        raise Refused(
            f"the system there is {found.node}'s of deployment {found.deployment}, not "
            f"{identity.node}'s of {identity.deployment}",
            hint="deploy the image to this node",
        )


def updated(found: Deployed, manifest: Manifest) -> Deployed:
    """The record once the system is that of `manifest`."""
    return msgspec.structs.replace(
        found,
        name=manifest.name,
        version=manifest.version,
        created=manifest.created,
        infohash=manifest.infohash,
    )


def boot_configuration(found: Deployed, manifest: Manifest) -> WriteFile | None:
    """grub.cfg for the kernel of the image; None when there is none, or when we do not write it."""
    facts = manifest.facts
    path = f"/{facts.grub_folder}/grub.cfg"
    if path not in found.own or not facts.kernels:
        return None
    kernel = newest(facts.kernels)
    wanted = merged(facts.kernel_arguments, found.kernel_arguments.split())
    arguments = kernel_arguments(holder("/", found.volumes), kernel, wanted)
    return WriteFile(path, grub_cfg(facts, kernel, found.volumes, arguments), 0o644)
