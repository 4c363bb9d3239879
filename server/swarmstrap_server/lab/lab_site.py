# SPDX-License-Identifier: GPL-2.0-or-later
"""The site of a rehearsal: the real one's images, layouts, hooks and overlays, on a network of its
own.

Nothing of the real site is written. Server and CA are new, so that a node of the lab trusts the
lab's server only; hooks and overlays keep the publisher's signatures, and the rehearsal's own hook
has a key that only the lab's initramfs knows.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from ipaddress import IPv4Address
from pathlib import Path
from types import MappingProxyType

import msgspec
import yaml

from swarmstrap.errors import BadInput
from swarmstrap.manifest import HOOK_NAMESPACE
from swarmstrap.wire import Failure, Finish
from swarmstrap_server.images.signing import Key
from swarmstrap_server.installer import overlay
from swarmstrap_server.installer.baked import baked
from swarmstrap_server.lab.machines import VirtualNode
from swarmstrap_server.lab.network import BRIDGE, Network
from swarmstrap_server.site import pki
from swarmstrap_server.site.assembling import Declared
from swarmstrap_server.site.checks import one_of
from swarmstrap_server.site.merging import Layer
from swarmstrap_server.site.paths import SIGNATURE_SUFFIX, SitePaths
from swarmstrap_server.site.reading import Site, read_site
from swarmstrap_server.site.settings import Defaults, Dhcp, Settings, Swarm
from swarmstrap_server.site.words import (
    ALL,
    GroupEntry,
    GroupsFile,
    InterfaceEntry,
    Node,
    NodeEntry,
    NodesFile,
)

REPORT_HOOK = "90-report-boot"
# Only a folder with this file in it is ever removed.
_MARK = ".rehearsal"
# A node of a lab never waits for a person, and what ends badly ends. An emulated timer that a busy
# machine holds up is no broken one, over which Linux panics.
_INSTALLER_ARGUMENTS = "no_timer_check panic=-1 rd.shell=0 rd.emergency=poweroff"


@dataclass(frozen=True, slots=True, kw_only=True)
class LabSite:
    """What a rehearsal changes about a site. `seeder_rate` is a size per second, or empty. The
    hooks, overlays and variables of the nodes are those of `group`.
    """

    layout: str
    finish: Finish
    seeder_rate: str
    nonce: str
    group: str = ALL


def make(
    root: Path,
    real: Site,
    lab: LabSite,
    network: Network,
    nodes: Sequence[VirtualNode],
    layouts: Mapping[str, str] = MappingProxyType({}),
    networks: Mapping[str, str] = MappingProxyType({}),
) -> SitePaths:
    """Build the site folder `root`, in place of an earlier rehearsal's. `layouts` and `networks`
    are YAML; a node of that name has no other.

    Raises BadInput when `root` is anything else, and when the real site has no installer yet or
    not the group.
    """
    _check(root, real.paths)
    member = _member(real, lab.group)
    shutil.rmtree(root, ignore_errors=True)
    paths = SitePaths(root)
    for folder in (paths.keys, paths.boot, paths.run, root / "nodes"):
        folder.mkdir(parents=True)
    (root / _MARK).touch()
    _settings(paths, real, lab, network, nodes)
    for name in ("layouts", "hooks", "overlays"):
        if (real.paths.root / name).is_dir():
            # What an overlay links to is on the node.
            shutil.copytree(real.paths.root / name, root / name, symlinks=name == "overlays")
    _groups(paths, member)
    _nodes(paths, member, nodes, layouts, networks)
    for trusted in (real.paths.revoked_keys, real.paths.floors):
        if trusted.exists():
            shutil.copyfile(trusted, root / trusted.relative_to(real.paths.root))
    paths.images.symlink_to(real.paths.images.resolve())
    _keys(paths, real.paths, str(network.server))
    _report_hook(paths, lab.nonce)
    _installer(paths, real.paths)
    return paths


def _check(root: Path, real: SitePaths) -> None:
    if root.exists() and not (root / _MARK).exists():
        raise BadInput(
            f"{root} exists and is no rehearsal's", hint="choose another folder with --work"
        )
    if not real.allowed_signers.exists():
        raise BadInput(f"no keys in {real.keys}", hint="make them with swarmstrap init")
    if not (real.initramfs.exists() and real.kernel.exists()):
        raise BadInput(f"no installer in {real.boot}", hint="make it with swarmstrap initramfs")


def _settings(
    paths: SitePaths, real: Site, lab: LabSite, network: Network, nodes: Sequence[VirtualNode]
) -> None:
    server: IPv4Address = network.server
    first, last = network.pool()
    settings = Settings(
        name=f"rehearsal of {real.settings.name}",
        address=str(server),
        dhcp=Dhcp(
            mode="full",
            interface=BRIDGE,
            range=(str(first), str(last)),
            network=str(network.address.network),
            ipv6_prefix=str(network.address6.network),
            secure_boot=any(node.secure_boot for node in nodes),
        ),
        installer_arguments=f"{real.settings.installer_arguments} {_INSTALLER_ARGUMENTS}".strip(),
        swarm=Swarm(seeder_rate=lab.seeder_rate),
        defaults=Defaults(
            layout=lab.layout,
            finish=lab.finish,
            failure=Failure(action="poweroff"),
            seed_seconds=real.settings.defaults.seed_seconds,
        ),
    )
    _write_yaml(paths.settings, settings)


def _member(real: Site, group: str) -> Node:
    """What a node of `group` is that says nothing of itself."""
    if complaint := one_of(group, list(real.groups), "group"):
        raise BadInput(complaint, hint="see groups.yaml")
    name = "any"
    silent = Declared(name, (group,), Layer({}, lambda path: ""))
    return real.with_node(silent).nodes[name]


def _groups(paths: SitePaths, member: Node) -> None:
    """Without words: those that `member` has of them are the nodes' own."""
    listed = [GroupEntry(name=name, priority=-i) for i, name in enumerate(_named(member))]
    _write_yaml(paths.root / "groups.yaml", GroupsFile(groups=tuple(listed)))


def _named(member: Node) -> tuple[str, ...]:
    """Its groups but for the one that nobody names, weightiest first."""
    return tuple(name for name in member.groups if name != ALL)


def _nodes(
    paths: SitePaths,
    member: Node,
    nodes: Sequence[VirtualNode],
    layouts: Mapping[str, str],
    networks: Mapping[str, str],
) -> None:
    listed = NodesFile(
        nodes=tuple(
            NodeEntry(
                name=node.name,
                mac=node.mac,
                uuid=node.uuid,
                layout=node.name if node.name in layouts else "",
                network=_network(networks.get(node.name, "[]")),
                groups=_named(member),
                hooks=None if member.hooks is None else (*member.hooks, REPORT_HOOK),
                overlays=member.overlays,
                variables=member.variables,
            )
            for node in nodes
        )
    )
    _write_yaml(paths.root / "nodes" / "rehearsal.yaml", listed)
    for name, text in layouts.items():
        folder = paths.root / "layouts"
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.yaml").write_text(text)


def _network(text: str) -> tuple[InterfaceEntry, ...]:
    return msgspec.convert(yaml.safe_load(text), tuple[InterfaceEntry, ...])


def _keys(paths: SitePaths, real: SitePaths, address: str) -> None:
    ca = pki.make_ca("rehearsal")
    server = pki.make_server(ca, [address])
    paths.ca_certificate.write_bytes(ca.certificate)
    paths.server_certificate.write_bytes(server.certificate)
    paths.server_key.touch(mode=0o600)
    paths.server_key.write_bytes(server.key)
    own = Key.generate(paths.publisher)
    paths.allowed_signers.write_text(real.allowed_signers.read_text() + own.allowed_signers())


def _report_hook(paths: SitePaths, nonce: str) -> None:
    text = files("swarmstrap_server.lab").joinpath(REPORT_HOOK).read_text()
    content = text.replace("@NONCE@", nonce).encode()
    hook = paths.root / "hooks" / "chroot" / REPORT_HOOK
    hook.parent.mkdir(parents=True, exist_ok=True)
    hook.write_bytes(content)
    signature = Key(paths.publisher).sign(content, HOOK_NAMESPACE)
    hook.with_name(REPORT_HOOK + SIGNATURE_SUFFIX).write_bytes(signature)


def _installer(paths: SitePaths, real: SitePaths) -> None:
    shutil.copyfile(real.kernel, paths.kernel)
    overlay.append(real.initramfs, baked(read_site(paths.root)), paths.initramfs)


def _write_yaml(path: Path, value: msgspec.Struct) -> None:
    path.write_text(yaml.safe_dump(msgspec.to_builtins(value), sort_keys=False))
