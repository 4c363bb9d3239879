# SPDX-License-Identifier: GPL-2.0-or-later
"""What images are needed for: tags, armed nodes, deployments under way, nodes that run them."""

from collections import defaultdict
from contextlib import closing

from swarmstrap_server.control.nodes import Deployment
from swarmstrap_server.control.store import Store
from swarmstrap_server.images.retention import Uses
from swarmstrap_server.images.tags import Tagged
from swarmstrap_server.site.paths import SitePaths

_VERBS = {"armed": "armed for", "active": "being deployed to", "deployed": "deployed on"}


def uses(paths: SitePaths, tagged: Tagged) -> Uses:
    """A word on each version that is in use; without a database no node uses any."""
    found: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for name, tags in tagged.items():
        for tag, version in tags.items():
            found[name, version].append(f"tagged {tag}")
    if paths.database.exists():
        with closing(Store(paths.database)) as store:
            for (image, version, state), nodes in _by_state(store).items():
                first, *rest = sorted(nodes)
                more = f" and {len(rest)} more" if rest else ""
                found[image, version].append(f"{_VERBS[state]} {first}{more}")
    return {key: ", ".join(reasons) for key, reasons in found.items()}


def _by_state(store: Store) -> dict[tuple[str, str, str], set[str]]:
    """The nodes by image, version and state; of a node's finished deployments the last counts."""
    last: dict[str, Deployment] = {}
    current: list[Deployment] = []
    for deployment in store.deployments("armed", "active", "deployed"):
        if deployment.state == "deployed":
            last[deployment.node] = deployment
        else:
            current.append(deployment)
    found: defaultdict[tuple[str, str, str], set[str]] = defaultdict(set)
    for deployment in (*current, *last.values()):
        found[deployment.image, deployment.version, deployment.state].add(deployment.node)
    return found
