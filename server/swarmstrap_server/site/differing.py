# SPDX-License-Identifier: GPL-2.0-or-later
"""What another version of the site folder means for whom."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

import msgspec

from swarmstrap.overlays import listing
from swarmstrap_server.site.assembling import FILLED
from swarmstrap_server.site.holding import held
from swarmstrap_server.site.merging import flat
from swarmstrap_server.site.reading import HookFile, Site
from swarmstrap_server.site.settings import Settings
from swarmstrap_server.site.yamlfile import Value

Change = Literal["new", "gone", "changed"]


class Difference(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`what` is `node`, a dotted key of nodes or of site.yaml, or a file. `nodes` are those who see
    it, none where it is the site; `before` and `after` are there for words, and `place` has the
    word that holds now, or the one that is gone.
    """

    what: str
    change: Change
    nodes: tuple[str, ...] = ()
    before: Value = None
    after: Value = None
    place: str = ""


def differences(before: Site, after: Site) -> list[Difference]:
    """The site's own first, then those of nodes: one for all nodes that see the same change."""
    return [
        *_settings(before.settings, after.settings),
        *_files("layouts", _layouts(before), _layouts(after), before, after),
        *_files("hooks", _hooks(before), _hooks(after), before, after),
        *_files("overlays", _overlays(before), _overlays(after), before, after),
        *_nodes(before, after),
    ]


def _settings(before: Settings, after: Settings) -> Iterator[Difference]:
    old, new = (dict(_dotted(msgspec.to_builtins(side))) for side in (before, after))
    for key, change in _changes(old, new):
        yield Difference(
            what=key,
            change=change,
            before=old.get(key),
            after=new.get(key),
            place="site.yaml",
        )


def _nodes(before: Site, after: Site) -> Iterator[Difference]:
    by_change: dict[Change, list[str]] = {"gone": [], "new": []}
    alike: dict[bytes, tuple[Difference, list[str]]] = {}
    for name in dict.fromkeys((*before.nodes, *after.nodes)):
        if name not in after.nodes or name not in before.nodes:
            by_change["gone" if name in before.nodes else "new"].append(name)
            continue
        for difference in _of_node(name, before, after):
            key = msgspec.json.encode(difference)
            alike.setdefault(key, (difference, []))[1].append(name)
    for change, names in by_change.items():
        if names:
            yield Difference(what="node", change=change, nodes=tuple(names))
    for difference, names in alike.values():
        yield msgspec.structs.replace(difference, nodes=tuple(names))


def _of_node(name: str, before: Site, after: Site) -> Iterator[Difference]:
    old, new = held(before, name), held(after, name)
    values_before, values_after = ({k: v.value for k, v in side.items()} for side in (old, new))
    values_before["groups"] = list(before.nodes[name].groups)
    values_after["groups"] = list(after.nodes[name].groups)
    written_before, written_after = _written(before, name), _written(after, name)
    for key, change in _changes(values_before, values_after):
        said = new.get(key) or old.get(key)
        shown = values_before, values_after
        if written_before.get(key) != written_after.get(key):
            shown = {**values_before, **written_before}, {**values_after, **written_after}
        yield Difference(
            what=key,
            change=change,
            before=shown[0].get(key),
            after=shown[1].get(key),
            place=said.place if said else "",
        )


def _written(site: Site, name: str) -> dict[str, Value]:
    """Templates as they stand in the files, where they are the same change for many nodes."""
    values = site.catalog.merged(name).values()
    return flat(values, FILLED & values.keys())


def _files(
    folder: str,
    old: Mapping[str, object],
    new: Mapping[str, object],
    before: Site,
    after: Site,
) -> Iterator[Difference]:
    """Whom a file concerns is asked of the side that has it."""
    for name, change in _changes(old, new):
        site = before if change == "gone" else after
        nodes = tuple(node for node in site.nodes if name in _files_of(folder, site, node))
        yield Difference(what=f"{folder}/{name}", change=change, nodes=nodes)


def _files_of(folder: str, site: Site, node: str) -> Iterable[str]:
    if folder == "hooks":
        return map(_hook_name, site.hooks_of(node))
    if folder == "overlays":
        return site.nodes[node].overlays
    return (f"{site.nodes[node].layout or site.settings.defaults.layout}.yaml",)


def _layouts(site: Site) -> dict[str, object]:
    return {f"{name}.yaml": layout for name, layout in site.layouts.items()}


def _hooks(site: Site) -> dict[str, object]:
    return {_hook_name(hook): hook.content for hook in site.hooks}


def _overlays(site: Site) -> dict[str, object]:
    return {name: listing(overlay) for name, overlay in site.overlays.items()}


def _hook_name(hook: HookFile) -> str:
    return f"{hook.where}/{hook.name}"


def _changes(old: Mapping[str, object], new: Mapping[str, object]) -> Iterator[tuple[str, Change]]:
    for key in dict.fromkeys((*old, *new)):
        if key not in new:
            yield key, "gone"
        elif key not in old:
            yield key, "new"
        elif old[key] != new[key]:
            yield key, "changed"


def _dotted(values: Mapping[str, Value], above: str = "") -> Iterator[tuple[str, Value]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _dotted(value, f"{above}{key}.")
        else:
            yield above + key, value
