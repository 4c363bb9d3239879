# SPDX-License-Identifier: GPL-2.0-or-later
"""Passphrases of nodes' LUKS volumes: made once, kept, given to that node only.

A node that is deployed again gets the same one, so a passphrase on paper stays true.
"""

import secrets
from collections.abc import Iterable

from swarmstrap.errors import BadInput
from swarmstrap_server.files import replace
from swarmstrap_server.site.paths import SitePaths

# Without letters that look like digits: somebody will read it off a screen, and type it.
_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
# 31**25 is about 2**124.
_GROUPS, _GROUP = 5, 5


def node_secrets(paths: SitePaths, node: str, volumes: Iterable[str]) -> dict[str, str]:
    """The passphrase of each of the node's `volumes`; those that are missing are made."""
    return {volume: _secret(paths, node, volume) for volume in volumes}


def read_secret(paths: SitePaths, node: str, volume: str) -> str:
    """Raises BadInput when the site keeps none."""
    try:
        return paths.secret(node, volume).read_text().strip()
    except OSError as error:
        kept = sorted(path.name for path in paths.secret(node, volume).parent.glob("[!.]*"))
        raise BadInput(
            f"no secret of {volume} of node {node}: {error.strerror}",
            hint=f"there is {', '.join(kept)}" if kept else "it is made when the node is deployed",
        ) from error


def _secret(paths: SitePaths, node: str, volume: str) -> str:
    path = paths.secret(node, volume)
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        groups = ("".join(secrets.choice(_LETTERS) for _ in range(_GROUP)) for _ in range(_GROUPS))
        replace(path, f"{'-'.join(groups)}\n".encode(), 0o600)
    return read_secret(paths, node, volume)
