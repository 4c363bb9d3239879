# SPDX-License-Identifier: GPL-2.0-or-later
"""What several stacks' files have in common."""

from collections.abc import Iterable, Sequence

from swarmstrap.errors import Unplannable
from swarmstrap.networks.checks import version_of
from swarmstrap.networks.links import Link
from swarmstrap.steps.system import WriteFile

Section = tuple[str, Iterable[str]]

# What glibc reads (resolv.conf(5), MAXNS).
_MOST_SERVERS = 3


def sections(*parts: Section) -> str:
    """As systemd and NetworkManager read them; one without lines is left out."""
    whole = [(name, list(lines)) for name, lines in parts]
    return "\n".join("\n".join([f"[{name}]", *lines, ""]) for name, lines in whole if lines)


def of_version(version: int, addresses: Sequence[str]) -> list[str]:
    return [address for address in addresses if version_of(address) == version]


def link_file(link: Link) -> WriteFile:
    """For udev, which names NICs whatever the stack is. `Type` keeps VLANs on it out."""
    match = ("Match", [f"MACAddress={link.mac}", "Type=ether"])
    path = f"/etc/systemd/network/10-swarmstrap-{link.key}.link"
    return WriteFile(path, sections(match, ("Link", [f"Name={link.name}"])), 0o644)


def resolv_conf(links: Sequence[Link]) -> WriteFile | None:
    """Where nothing of the image makes /etc/resolv.conf; none without name servers."""
    servers = dict.fromkeys(server for link in links for server in link.spec.dns)
    domains = dict.fromkeys(domain for link in links for domain in link.spec.search)
    if len(servers) > _MOST_SERVERS:
        raise Unplannable(
            f"network: {len(servers)} name servers, and /etc/resolv.conf has {_MOST_SERVERS} "
            "at most",
            hint="write fewer, or capture an image with systemd-resolved",
        )
    lines = [f"search {' '.join(domains)}"] if domains else []
    lines += [f"nameserver {server}" for server in servers]
    return WriteFile("/etc/resolv.conf", "\n".join([*lines, ""]), 0o644) if lines else None


def inexpressible(stack: str, link: Link, what: str, hint: str) -> Unplannable:
    return Unplannable(f"network of {link.spec}: {stack} cannot have {what}", hint=hint)
