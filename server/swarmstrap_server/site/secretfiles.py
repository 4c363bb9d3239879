# SPDX-License-Identifier: GPL-2.0-or-later
"""The files with passwords that a site's words name: there, and nobody else's to read.

A server runs without them, and finds out when it wants to switch a node or to tell a hook.
"""

from collections.abc import Iterator

from swarmstrap_server import secretfile
from swarmstrap_server.power.words import Ipmi, Redfish
from swarmstrap_server.site.reading import Site
from swarmstrap_server.site.settings import Settings
from swarmstrap_server.site.yamlfile import load


def secret_file_problems(site: Site) -> list[str]:
    """A line for each place in the files that names one which is wrong."""
    found = (
        f"{place}: {complaint}"
        for place, name in (*_of_hooks(site), *_of_nodes(site))
        if (complaint := secretfile.complaint(site.paths.root / name, name))
    )
    return list(dict.fromkeys(found))


def _of_hooks(site: Site) -> Iterator[tuple[str, str]]:
    path = site.paths.settings
    document = load(path, Settings, name=path.name)
    for position, hook in enumerate(document.value.webhooks):
        yield document.place(("webhooks", position, "secret_file")), hook.secret_file


def _of_nodes(site: Site) -> Iterator[tuple[str, str]]:
    for name in site.catalog.declared:
        power = site.nodes[name].power
        if isinstance(power, Ipmi | Redfish):
            place = site.catalog.merged(name).place(("power", "password_file"))
            yield place, power.password_file
