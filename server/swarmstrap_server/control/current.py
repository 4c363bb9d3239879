# SPDX-License-Identifier: GPL-2.0-or-later
"""Deployments that have not ended, from memory: every word of a node makes the server look at one,
and some at all of them. Touches no database.
"""

from collections.abc import Collection, Iterable

from swarmstrap_server.control.nodes import Deployment


class Current:
    """Armed and active ones, as they are now; `unwritten` maps the ids of those that the database
    has in an older state.
    """

    def __init__(self, deployments: Iterable[Deployment]) -> None:
        self._armed: dict[str, Deployment] = {}
        self._active: dict[str, Deployment] = {}
        self._active_on: dict[str, Deployment] = {}
        self.unwritten: dict[str, Deployment] = {}
        for deployment in deployments:
            self.put(deployment, written=True)

    @property
    def active(self) -> Collection[Deployment]:
        return self._active.values()

    def all(self) -> list[Deployment]:
        return [*self._armed.values(), *self._active.values()]

    def get(self, key: str) -> Deployment | None:
        """None for one that has ended, and for one that never was."""
        return self._active.get(key) or self._armed.get(key)

    def active_on(self, node: str) -> Deployment | None:
        return self._active_on.get(node)

    def put(self, deployment: Deployment, *, written: bool) -> None:
        key = deployment.id
        self._armed.pop(key, None)
        before = self._active.pop(key, None)
        if before is not None:
            self._active_on.pop(before.node, None)
        if deployment.state == "armed":
            self._armed[key] = deployment
        elif deployment.state == "active":
            self._active[key] = deployment
            self._active_on[deployment.node] = deployment
        if written:
            self.unwritten.pop(key, None)
        else:
            self.unwritten[key] = deployment
