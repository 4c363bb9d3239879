# SPDX-License-Identifier: GPL-2.0-or-later
"""What nodes boot by that demand signatures: the distribution's shim and GRUB, by TFTP.

The signed GRUB speaks no HTTP, so it cannot ask as iPXE does. Its answer lies ready instead: a
configuration for each node, written whenever the server decides anew. A node that is to boot its
own disk does not even get as far: dnsmasq shows it a folder without a program for UEFI, because
firmware goes on to its next device after an error, and not always after GRUB's `exit`.

As with iPXE, all this grants nothing: the server decides again when a node registers.
"""

import contextlib
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from swarmstrap.errors import SwarmstrapError
from swarmstrap_server.control.deployments import Deployments
from swarmstrap_server.control.identity import marks_of_node
from swarmstrap_server.control.operator_wire import NodeView
from swarmstrap_server.control.views import node_views
from swarmstrap_server.netboot import boot
from swarmstrap_server.netboot.dhcp import IPXE
from swarmstrap_server.netboot.templates import fill, template
from swarmstrap_server.site.checks import dhcp_settings
from swarmstrap_server.site.reading import Site

# By the name that firmware, shim and GRUB ask for: the file, and Debian's package of it.
_PROGRAMS: Mapping[str, tuple[Path, str]] = {
    "shimx64.efi": (Path("/usr/lib/shim/shimx64.efi.signed"), "shim-signed"),
    "grubx64.efi": (
        Path("/usr/lib/grub/x86_64-efi-signed/grubnetx64.efi.signed"),
        "grub-efi-amd64-signed",
    ),
    "snponly.efi": (IPXE / "snponly.efi", "ipxe"),
    "undionly.kpxe": (IPXE / "undionly.kpxe", "ipxe"),
}
# What dnsmasq calls the folder of one node (tftp-unique-root=mac), and what it finds there.
_FOLDER = re.compile(r"[0-9a-f]{2}(-[0-9a-f]{2}){5}")
_BARRED = "barred"
_FOR_BIOS = "undionly.kpxe"


class GrubFolder:
    """The site's folder `boot` as a TFTP root, with kernel and initramfs beside the programs."""

    def __init__(self, deployments: Deployments) -> None:
        self._deployments = deployments
        self._site = deployments.site
        self._boot = self._site.paths.boot
        self._nodes = self._boot / "grub" / "nodes"
        self._written: dict[str, str] = {}

    def keep(self) -> None:
        """Write everything, and from now on each node's part when what it is granted changes.

        Raises SwarmstrapError for a program that is not installed, and for a full disk; so does
        who changes a node later.
        """
        for program, package in _PROGRAMS.values():
            if not program.exists():
                raise SwarmstrapError(f"no {program}", hint=f"install the package {package}")
        with _writing():
            self._copy_programs()
            self._write_all()
        self._deployments.feed.follow(self._heed)

    def _heed(self, node: str) -> None:
        with _writing():
            if self._deployments.site is not self._site:
                self._write_all()
            else:
                self._write(self._decisions([self._deployments.view(node)]))

    def _copy_programs(self) -> None:
        barred = self._boot / _BARRED
        barred.mkdir(parents=True, exist_ok=True)
        for name, (program, _) in _PROGRAMS.items():
            shutil.copyfile(program, self._boot / name)
        # iPXE takes a BIOS to its disk, which by itself it often would not find.
        shutil.copyfile(self._boot / _FOR_BIOS, barred / _FOR_BIOS)

    def _write_all(self) -> None:
        self._site = self._deployments.site
        self._nodes.mkdir(parents=True, exist_ok=True)
        grub = self._nodes.parent
        _replace(grub / "grub.cfg", template("grub.cfg.in"))
        stranger = boot.verdict(
            granted=False, has_inventory=False, discovery=self._site.settings.discovery
        )
        _replace(grub / "strangers.cfg", grub_script(self._site, stranger, "this machine"))
        decisions = self._decisions(node_views(self._site, self._deployments.store))
        self._written = {mark: self._written[mark] for mark in self._written if mark in decisions}
        self._write(decisions)
        for path in self._nodes.iterdir():
            if path.stem not in decisions:
                path.unlink()
        for path in self._boot.iterdir():
            if _FOLDER.fullmatch(path.name) and path.name.replace("-", ":") not in decisions:
                _bar(path, barred=False)

    def _decisions(self, views: Iterable[NodeView]) -> dict[str, tuple[boot.Verdict, str]]:
        """By what a node is known by: what it is to do, and its name."""
        decisions: dict[str, tuple[boot.Verdict, str]] = {}
        for view in views:
            decided = boot.verdict(
                granted=self._deployments.grants(view.deployment),
                has_inventory=view.has_inventory,
                discovery=self._site.settings.discovery,
            )
            decisions |= dict.fromkeys(_marks(self._site, view), (decided, view.name))
        return decisions

    def _write(self, decisions: Mapping[str, tuple[boot.Verdict, str]]) -> None:
        for mark, (decided, node) in decisions.items():
            text = grub_script(self._site, decided, node)
            if self._written.get(mark) == text:
                continue
            _replace(self._nodes / f"{mark}.cfg", text)
            folder = self._boot / mark.replace(":", "-")
            if _FOLDER.fullmatch(folder.name):
                _bar(folder, barred=decided == "local")
            self._written[mark] = text


def grub_script(site: Site, decided: boot.Verdict, node: str) -> str:
    """GRUB's configuration for `node`. The lease is handed over where it is the site's own: GRUB
    knows of another's only the address.
    """
    if decided == "local":
        return fill(template("local.grub.in"), {"NODE": node})
    dhcp = dhcp_settings(site.settings)
    own = dhcp if dhcp and dhcp.mode == "full" else None
    values = {
        "NODE": node,
        "KERNEL": f"/{site.paths.kernel.name}",
        "INITRD": f"/{site.paths.initramfs.name}",
        "MASK": str(own.network.netmask) if own else "",
        "ROUTER": str(own.router) if own and own.router else "",
        "DNS": ",".join(map(str, own.dns)) if own else "",
        "ARGUMENTS": boot.installer_arguments(site),
    }
    return fill(template("install.grub.in"), values)


def _marks(site: Site, view: NodeView) -> set[str]:
    """The MACs by which it is known, and the UUID of one whose MACs the site does not say."""
    spec = site.nodes.get(view.name)
    known = marks_of_node(spec) if spec else None
    if known and known.macs:
        return set(known.macs)
    return {*view.macs, known.uuid if known else ""} - {""}


def _bar(folder: Path, *, barred: bool) -> None:
    folder.unlink(missing_ok=True)
    if barred:
        folder.symlink_to(_BARRED)


def _replace(path: Path, text: str) -> None:
    """TFTP sends the old file or the new one. Not waiting for the disk: all is written at start."""
    new = path.with_name(f"{path.name}.new")
    new.write_text(text)
    new.replace(path)


@contextlib.contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SwarmstrapError(f"cannot write {error.filename}: {error.strerror}") from error
