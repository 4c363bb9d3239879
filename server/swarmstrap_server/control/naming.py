# SPDX-License-Identifier: GPL-2.0-or-later
"""Names that machines of no file got, from a rule of discovery.yaml or from an operator.

They are kept in the database, and nodes of the site like all others; a file that has the machine
goes before them.
"""

import msgspec

from swarmstrap.errors import BadInput
from swarmstrap.hardware import Inventory
from swarmstrap_server.control.identity import Marks, marks, marks_of_node
from swarmstrap_server.control.operator_wire import Named, Naming
from swarmstrap_server.control.store import SeenNode, Store
from swarmstrap_server.site.assembling import Declared
from swarmstrap_server.site.checks import NODE_NAME, one_of
from swarmstrap_server.site.discovery import facts_of, first_that_fits, name_by
from swarmstrap_server.site.merging import Layer
from swarmstrap_server.site.reading import Site
from swarmstrap_server.site.yamlfile import Value, nearest

BY_HAND = "an operator"


def names(store: Store) -> list[Named]:
    rows = store.execute("SELECT body FROM names ORDER BY name")
    return [msgspec.json.decode(body, type=Named) for (body,) in rows]


def with_names(site: Site, store: Store) -> Site:
    """The site with the machines that got a name, but for those that a file has by now."""
    given = names(store)
    if not given:
        return site
    in_files = _marks_in_files(site)
    return site.with_nodes(
        _declared(named) for named in given if not in_files & _each(_marks_of(named))
    )


def give(site: Site, store: Store, seen: SeenNode, wish: Naming, by: str) -> Site:
    """The site in which `seen` is called `wish.name`; what was said and deployed goes with it."""
    named = Named(
        name=wish.name,
        groups=wish.groups,
        uuid=seen.marks.uuid,
        macs=tuple(sorted(seen.marks.macs)),
        serial=seen.marks.serial,
        by=by,
    )
    if seen.name != wish.name:
        store.rename_node(seen.name, wish.name)
    with store.transaction():
        store.execute("DELETE FROM names WHERE name = ?", seen.name)
        store.execute(
            "INSERT OR REPLACE INTO names VALUES (?, ?)", wish.name, msgspec.json.encode(named)
        )
    if seen.name in site.nodes and seen.name != wish.name:
        return with_names(site, store)
    return site.with_node(_declared(named))


def forget_those_in_files(site: Site, store: Store) -> None:
    given = names(store)
    in_files = _marks_in_files(site) if given else set()
    for named in given:
        if in_files & _each(_marks_of(named)):
            store.execute("DELETE FROM names WHERE name = ?", named.name)


def checked(site: Site, store: Store, old: str, wish: Naming) -> SeenNode:
    """The machine that may be called so; raises BadInput."""
    seen = store.node(old)
    if old in site.catalog.of_files:
        place = site.catalog.of_files[old].layer.at(())
        raise BadInput(f"{old} has its name from {place}", hint="change it there")
    if seen is None:
        raise BadInput(
            f"no machine {old!r} has registered{nearest(old, [n.name for n in store.nodes()])}",
            hint="see swarmstrap node ls",
        )
    if not NODE_NAME.fullmatch(wish.name):
        raise BadInput(f"{wish.name!r} is not a node's name", hint="use a-z, 0-9 and '-'")
    if wish.name != old and (wish.name in taken(site, store)):
        raise BadInput(f"{wish.name} is the name of another node or group")
    for group in wish.groups:
        if complaint := one_of(group, list(site.groups), "group"):
            raise BadInput(complaint, hint="write it into groups.yaml first")
    return seen


def taken(site: Site, store: Store) -> set[str]:
    return {*site.nodes, *site.groups, *(seen.name for seen in store.nodes())}


def by_rule(
    site: Site, store: Store, seen: SeenNode, inventory: Inventory
) -> tuple[Naming, str] | None:
    """What the first rule that fits makes of `seen`, and which one it was.

    Raises Refused when its name cannot be given.
    """
    facts = facts_of(inventory)
    found = first_that_fits(site.rules, facts)
    if found is None:
        return None
    number, rule = found
    name = name_by(rule.name, facts, taken(site, store)) if rule.name else seen.name
    return Naming(name=name, groups=rule.groups), f"rule {number} of discovery.yaml"


def exported(all_named: list[Named]) -> str:
    """As a node file, for the site folder."""
    if not all_named:
        return "nodes: []\n"
    lines = ["nodes:"]
    for named in all_named:
        lines += [f"- name: {_word(named.name)}"]
        lines += [f"  mac: {_listed(named.macs)}"] if named.macs else []
        lines += [f"  uuid: {named.uuid}"] if named.uuid else []
        lines += [f"  serial: {msgspec.json.encode(named.serial).decode()}"] if named.serial else []
        lines += [f"  groups: {_listed(named.groups)}"] if named.groups else []
    return "\n".join(lines) + "\n"


def _listed(words: tuple[str, ...]) -> str:
    return f"[{', '.join(map(_word, words))}]"


def _word(text: str) -> str:
    """In quotes where YAML would read a number, a truth value or nothing; names and MAC addresses
    have no other character that means something to it.
    """
    other = text.isdigit() or text in ("true", "false", "null")
    return f'"{text}"' if other else text


def _declared(named: Named) -> Declared:
    values: dict[str, Value] = {"mac": list(named.macs)}
    values |= {key: text for key in ("uuid", "serial") if (text := getattr(named, key))}
    return Declared(named.name, named.groups, Layer(values, lambda path: f"given by {named.by}"))


def _marks_of(named: Named) -> Marks:
    return marks(named.uuid, named.macs, named.serial)


def _marks_in_files(site: Site) -> set[tuple[str, str]]:
    found: set[tuple[str, str]] = set()
    for name in site.catalog.of_files:
        found |= _each(marks_of_node(site.nodes[name]))
    return found


def _each(marks: Marks) -> set[tuple[str, str]]:
    single = {("uuid", marks.uuid), ("serial", marks.serial)} - {("uuid", ""), ("serial", "")}
    return single | {("mac", mac) for mac in marks.macs}
