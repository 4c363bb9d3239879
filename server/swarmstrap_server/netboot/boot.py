# SPDX-License-Identifier: GPL-2.0-or-later
"""What a node is told before it has an operating system: install, or boot your own disk."""

from typing import Literal

from swarmstrap.wire import BootFile
from swarmstrap_server.netboot.templates import fill, template
from swarmstrap_server.site.reading import Site

Verdict = Literal["install", "local"]

KERNEL = "/boot/vmlinuz"
INITRAMFS = "/boot/initramfs.img"
# Screen and serial line both show the agent; a kernel that panics starts over, and never waits.
_CONSOLES = "console=tty0 console=ttyS0,115200 panic=30 quiet"


def verdict(*, granted: bool, has_inventory: bool, discovery: bool) -> Verdict:
    """A node that may install boots the agent, and one whose hardware is not known, to show it.

    A machine that registered is not asked to again: whatever it is, it boots its disk.
    """
    return "install" if granted or (discovery and not has_inventory) else "local"


def entry_script(site: Site) -> str:
    """What DHCP names as the boot file: the same for every node."""
    return fill(template("entry.ipxe.in"), {"BOOT": _host(site)})


def node_script(
    site: Site, decided: Verdict, node: str, shared: tuple[BootFile, BootFile] | None = None
) -> str:
    """The iPXE script for `node`; nothing in it is secret. What is `shared`, kernel and initramfs,
    may come from other nodes.
    """
    if decided == "local":
        return fill(template("local.ipxe.in"), {"BOOT": _host(site), "NODE": node})
    values = {
        "BOOT": _host(site),
        "NODE": node,
        "KERNEL": KERNEL,
        "INITRD": INITRAMFS,
        "ARGUMENTS": installer_arguments(site),
    }
    if shared is None:
        return fill(template("install.ipxe.in"), values)
    kernel, initramfs = shared
    values |= {
        "TRUST": site.settings.swarm.boot_peers,
        "KERNEL_SHA256": kernel.sha256,
        "INITRD_SHA256": initramfs.sha256,
    }
    return fill(template("install-shared.ipxe.in"), values)


def waiting_script(site: Site, node: str) -> str:
    """For a node whose turn to load the installer has not come: ask again."""
    return fill(template("waiting.ipxe.in"), {"BOOT": _host(site), "NODE": node})


def installer_arguments(site: Site) -> str:
    """The agent's kernel command line, but for the lease, which iPXE adds."""
    return " ".join(
        [
            f"swarmstrap.server={site.node_url}",
            _CONSOLES,
            *site.settings.installer_arguments.split(),
        ]
    )


def _host(site: Site) -> str:
    return f"{site.settings.address}:{site.settings.ports.boot}"
