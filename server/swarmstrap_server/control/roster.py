# SPDX-License-Identifier: GPL-2.0-or-later
"""Who is who: the nodes of the site, and the machines of no file under the names that they got."""

from collections.abc import Callable, Sequence

from swarmstrap.errors import Refused
from swarmstrap.hardware import Inventory
from swarmstrap_server.control import naming
from swarmstrap_server.control.events import Feed
from swarmstrap_server.control.identity import (
    Directory,
    Known,
    Marks,
    identify,
    marks_of_inventory,
    marks_of_node,
    name_for_unknown,
)
from swarmstrap_server.control.operator_wire import Naming
from swarmstrap_server.control.store import SeenNode, Store
from swarmstrap_server.site.reading import Site, read_site


class Roster:
    """`site` is as it was read last, `site_is_good` whether it could be read the last time.
    `renamed` are called when a node has another name: who keeps in memory what the store says of
    nodes by their names reads it again.
    """

    def __init__(self, site: Site, store: Store, feed: Feed, clock: Callable[[], float]) -> None:
        self.site = site
        self.site_is_good = True
        self.renamed: list[Callable[[], None]] = []
        self._store = store
        self._feed = feed
        self._clock = clock
        self._adopt()

    def reload(self) -> None:
        """Read the site folder again; raises BadInput and keeps the old site when it is wrong."""
        self.site_is_good = False
        self.site = read_site(self.site.paths.root)
        self.site_is_good = True
        self._adopt()

    def targets(self, words: Sequence[str]) -> tuple[str, ...]:
        """The nodes that `words` mean, machines that no file names among them; raises BadInput."""
        return self.site.targets(words, [seen.name for seen in self._store.nodes()])

    def known_as(self, seen: Marks) -> str | None:
        """The node that these marks belong to; raises Refused when it cannot be told."""
        name = self._directory.identify(seen)
        if name is not None:
            return name
        strangers = [n.known for n in self._store.nodes() if n.name not in self.site.nodes]
        return identify(seen, strangers)

    def meet(self, inventory: Inventory, address: str) -> str:
        """Notes the machine, and says what it is called from now on; raises Refused when it fits
        several nodes.
        """
        marks = marks_of_inventory(inventory)
        name = self.known_as(marks) or name_for_unknown(marks, inventory.boot.pxe_interface)
        seen = SeenNode(name, marks, address, self._clock())
        self._store.save_node(seen, inventory)
        return name if name in self.site.nodes else self._named_by_rule(seen, inventory)

    def name(self, old: str, wish: Naming) -> None:
        """A machine of no file gets a name and groups; raises BadInput."""
        seen = naming.checked(self.site, self._store, old, wish)
        self._name(seen, wish, naming.BY_HAND)

    def _named_by_rule(self, seen: SeenNode, inventory: Inventory) -> str:
        try:
            found = naming.by_rule(self.site, self._store, seen, inventory)
        except Refused as error:
            hint = f"see discovery.yaml, or say swarmstrap node name {seen.name} NAME"
            now = self._clock()
            self._feed.note(seen.name, "unnamed", error.message, now, failed=True, hint=hint)
            return seen.name
        if found is None:
            return seen.name
        wish, by = found
        self._name(seen, wish, by)
        return wish.name

    def _name(self, seen: SeenNode, wish: Naming, by: str) -> None:
        self._settle(naming.give(self.site, self._store, seen, wish, by))
        if seen.name != wish.name:
            self._tell_renamed()
        groups = f", in {', '.join(wish.groups)}" if wish.groups else ""
        said = f"{seen.name} is called {wish.name}{groups}, by {by}"
        self._feed.note(wish.name, "named", said, self._clock())

    def _adopt(self) -> None:
        """Machines that were discovered take the name that the site now gives them."""
        naming.forget_those_in_files(self.site, self._store)
        self._settle(naming.with_names(self.site, self._store))
        for seen in self._store.nodes():
            if seen.name in self.site.nodes:
                continue
            name = self._directory.identify(seen.marks)
            if name is not None and self._store.node(name) is None:
                self._store.rename_node(seen.name, name)
                self._tell_renamed()

    def _settle(self, site: Site) -> None:
        self.site = site
        self._directory = Directory(
            Known(name, marks_of_node(node)) for name, node in site.nodes.items()
        )

    def _tell_renamed(self) -> None:
        for hear in self.renamed:
            hear()
