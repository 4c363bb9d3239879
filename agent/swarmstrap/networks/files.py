# SPDX-License-Identifier: GPL-2.0-or-later
"""From what a job says of the network to the files of whichever stack the image carries."""

from collections.abc import Iterator, Sequence

from swarmstrap.errors import Unplannable
from swarmstrap.hardware import Inventory
from swarmstrap.manifest import Facts
from swarmstrap.networks.checks import check_network
from swarmstrap.networks.ifcfg import ifcfg
from swarmstrap.networks.ifupdown import ifupdown
from swarmstrap.networks.links import Link, make_links
from swarmstrap.networks.netplan import netplan
from swarmstrap.networks.networkd import networkd
from swarmstrap.networks.networkmanager import networkmanager
from swarmstrap.networks.text import inexpressible, resolv_conf
from swarmstrap.networks.values import Interface
from swarmstrap.placing import Identity
from swarmstrap.steps.system import WriteFile


def network_files(
    facts: Facts, network: Sequence[Interface], inventory: Inventory, identity: Identity
) -> Iterator[WriteFile]:
    """Raises BadInput for a wrong network, Unplannable for what this node or image cannot have.

    An empty `network` is DHCP; an image without a known stack then keeps its own way.
    """
    check_network(network)
    if network and facts.network_stack == "none":
        raise Unplannable(
            "network: the image enables nothing that would configure it",
            hint="leave out `network` of the node, or enable one of the stacks of docs/network.md "
            "before capturing the image",
        )
    links = make_links(network or _default(inventory), inventory.interfaces)
    match facts.network_stack:
        case "netplan":
            yield netplan(links)
        case "systemd-networkd":
            yield from networkd(links)
            yield from _name_servers(facts, links)
        case "networkmanager":
            yield from networkmanager(links, identity)
        case "ifcfg":
            yield from ifcfg(links)
        case "ifupdown":
            yield from ifupdown(links)
            yield from _name_servers(facts, links)
        case "none":
            return
    if facts.cloud_init:
        # It would write files of its own at every boot, for a NIC that it chose.
        text = "network: {config: disabled}\n"
        yield WriteFile("/etc/cloud/cloud.cfg.d/99-swarmstrap-network.cfg", text, 0o644)


def _default(inventory: Inventory) -> tuple[Interface, ...]:
    """DHCP on the NIC that the node booted from; on every NIC when it booted from none."""
    booted = inventory.boot.pxe_interface
    macs = [booted] if booted else [nic.mac_address for nic in inventory.interfaces]
    return tuple(Interface(mac=mac) for mac in macs)


def _name_servers(facts: Facts, links: Sequence[Link]) -> Iterator[WriteFile]:
    """Two stacks leave them to another program, which the image may not have."""
    if facts.resolver != "none":
        return
    for link in links:
        # Its DHCP client writes /etc/resolv.conf anew with every lease.
        if facts.network_stack == "ifupdown" and link.dhcp and (link.spec.dns or link.spec.search):
            raise inexpressible(
                "ifupdown without resolvconf",
                link,
                "DHCP and name servers of its own",
                "leave out dns and search, or install resolvconf before capturing the image",
            )
    file = resolv_conf(links)
    if file:
        yield file
