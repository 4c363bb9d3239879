# SPDX-License-Identifier: GPL-2.0-or-later
"""Text of the installed system's files, made of values that were validated before; pure."""

import re
from collections.abc import Iterable, Iterator, Sequence

from swarmstrap.errors import BadInput, Unplannable
from swarmstrap.grub import grub_modules
from swarmstrap.manifest import Facts, Kernel
from swarmstrap.placing import PlacedMount, PlacedVolume
from swarmstrap.volumes import PartitionVolume

DEFAULT_CONSOLES = "console=tty0 console=ttyS0,115200"
_HOSTNAME = re.compile(
    r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*"
)
_GRUB_TITLE = re.compile(r"[^A-Za-z0-9 ./()+_-]")
_GRUB_SECONDS = 2


def check_hostname(name: str) -> str:
    """`name`, when it can be a host name (RFC 1123, lower case); raises BadInput otherwise."""
    if not _HOSTNAME.fullmatch(name):
        raise BadInput(f"not a host name: {name!r}", hint="use a-z, 0-9 and -, as in node7")
    return name


def fstab(volumes: Iterable[PlacedVolume]) -> str:
    lines = ["# <file system> <mount point> <type> <options> <dump> <pass>"]
    every = tuple(volumes)
    mounted = [(mount, volume) for volume in every for mount in volume.mounts]
    for mount, volume in sorted(mounted, key=lambda pair: pair[0].target):
        options = _options(mount, volume, every)
        order = _pass(mount, volume)
        lines.append(f"UUID={volume.uuid} {mount.target} {volume.format} {options} 0 {order}")
    swaps = (volume for volume in every if volume.format == "swap")
    lines += [f"UUID={volume.uuid} none swap sw 0 0" for volume in swaps]
    return "\n".join([*lines, ""])


def mount_options(mount: PlacedMount) -> str:
    """The options by which `mount` is mounted, in the initramfs too."""
    return f"subvol={mount.subvolume},{mount.options}" if mount.subvolume else mount.options


def _options(mount: PlacedMount, volume: PlacedVolume, every: Sequence[PlacedVolume]) -> str:
    options = mount_options(mount)
    if volume.format == "vfat" and options == "defaults":
        # vfat knows no owners: without a mask all users could read and change what firmware starts.
        options = "umask=0077"
    if volume.type == "esp" and sum(other.type == "esp" for other in every) > 1:
        # Its disk may be the one that is lost; the others' boot loaders do without it.
        options += ",nofail"
    return options


def _pass(mount: PlacedMount, volume: PlacedVolume) -> int:
    if volume.format in ("xfs", "btrfs"):
        return 0  # their fsck does nothing, and is not there without their packages
    return 1 if mount.target == "/" else 2


def hosts(name: str) -> str:
    short = name.partition(".")[0]
    names = name if name == short else f"{name} {short}"
    return (
        "127.0.0.1 localhost\n"
        f"127.0.1.1 {names}\n"
        "::1 localhost ip6-localhost ip6-loopback\n"
        "ff02::1 ip6-allnodes\n"
        "ff02::2 ip6-allrouters\n"
    )


def newest(kernels: Sequence[Kernel]) -> Kernel:
    """The kernel with the highest version, numbers compared as numbers."""
    return max(kernels, key=lambda kernel: _natural(kernel.version))


def _natural(version: str) -> list[tuple[int, str]]:
    """`6.1.0-10` above `6.1.0-9`; a number sorts above letters, so a release above its rc."""
    return [
        (int(part), "") if part.isdigit() else (-1, part)
        for part in re.findall(r"\d+|\D+", version)
    ]


def kernel_arguments(root: PlacedVolume, kernel: Kernel, wanted: str) -> str:
    """The whole command line. Without an initrd the kernel itself must find the root filesystem,
    and knows partitions only.
    """
    where = f"UUID={root.uuid}"
    if not kernel.initrd:
        if not isinstance(root.volume, PartitionVolume):
            raise Unplannable(
                f"kernel {kernel.version} has no initrd, which could start {root.volume}",
                hint="install initramfs-tools or dracut before capturing the image",
            )
        where = f"PARTUUID={root.volume.partition.uuid}"
    seen = next(mount for mount in root.mounts if mount.target == "/")
    flags = f" rootflags=subvol={seen.subvolume}" if seen.subvolume else ""
    return f"root={where}{flags} ro {own_arguments(wanted)}"


def own_arguments(wanted: str) -> str:
    """What the layout asks for, and both consoles unless it names one."""
    if any(word.startswith("console=") for word in wanted.split()):
        return " ".join(wanted.split())
    return " ".join([*wanted.split(), DEFAULT_CONSOLES])


def grub_cfg(facts: Facts, kernel: Kernel, volumes: Sequence[PlacedVolume], arguments: str) -> str:
    """What GRUB boots until the distribution's own update-grub takes over.

    Written here because update-grub costs 23 s in a slow virtual node and asks the node's devices
    what the plan knows already. A machine without a serial port keeps its screen.
    """
    boot = holder(f"/{kernel.image}", volumes)
    modules = "\n".join(f"insmod {module}" for module in grub_modules(boot))
    title = _GRUB_TITLE.sub("", facts.os_name or facts.os_id) or "Linux"
    initrd = f"    initrd {inside(boot, kernel.initrd)}\n" if kernel.initrd else ""
    return f"""\
# Written by Swarmstrap; update-grub replaces it.
set default=0
set timeout={_GRUB_SECONDS}
{modules}
if serial --unit=0 --speed=115200; then
    terminal_input console serial
    terminal_output console serial
fi
search --no-floppy --fs-uuid --set=root {boot.uuid}
menuentry '{title}, Linux {kernel.version}' {{
    linux {inside(boot, kernel.image)} {arguments}
{initrd}}}
"""


def holder(path: str, volumes: Iterable[PlacedVolume]) -> PlacedVolume:
    """The volume on which an absolute `path` of the installed system lies."""
    return max(_above(path, volumes), key=lambda pair: len(pair[0].target))[1]


def inside(volume: PlacedVolume, path: str) -> str:
    """`path`, relative to the installed system's root, as GRUB sees it on `volume`: that sees a
    btrfs from its top.
    """
    mount, _ = max(_above(f"/{path}", [volume]), key=lambda pair: len(pair[0].target))
    top = f"/{mount.subvolume}" if mount.subvolume else ""
    return top + f"/{path}".removeprefix(mount.target.rstrip("/"))


def _above(
    path: str, volumes: Iterable[PlacedVolume]
) -> Iterator[tuple[PlacedMount, PlacedVolume]]:
    for volume in volumes:
        for mount in volume.mounts:
            if f"{path}/".startswith(f"{mount.target.rstrip('/')}/"):
                yield mount, volume


def grub_defaults(arguments: str) -> str:
    """/etc/default/grub.d/50-swarmstrap.cfg: the same when update-grub runs one day."""
    return f"""\
# Written by Swarmstrap, read by update-grub after /etc/default/grub: its arguments are in here.
GRUB_TIMEOUT={_GRUB_SECONDS}
GRUB_CMDLINE_LINUX="{arguments}"
GRUB_CMDLINE_LINUX_DEFAULT=""
GRUB_TERMINAL="console serial"
GRUB_SERIAL_COMMAND="serial --unit=0 --speed=115200"
"""
