# SPDX-License-Identifier: GPL-2.0-or-later
"""The site folder: what an operator keeps in git, read into one frozen value."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeVar

from swarmstrap.errors import BadInput
from swarmstrap.floors import Floors, complaints
from swarmstrap.layout import Layout
from swarmstrap.wire import Overlay
from swarmstrap_server.site import checks as sitecheck
from swarmstrap_server.site import targets
from swarmstrap_server.site.assembling import Catalog, Declared, catalog
from swarmstrap_server.site.discovery import DiscoveryFile, Rule, rule_findings
from swarmstrap_server.site.networkchecks import networks_in
from swarmstrap_server.site.nodechecks import node_problems
from swarmstrap_server.site.overlays import read_overlays
from swarmstrap_server.site.paths import SIGNATURE_SUFFIX, SitePaths
from swarmstrap_server.site.settings import Settings
from swarmstrap_server.site.wordchecks import Known
from swarmstrap_server.site.words import GroupEntry, GroupsFile, NetworksFile, Node, NodesFile
from swarmstrap_server.site.yamlfile import Document, load, nearest

T = TypeVar("T")
Place = Literal["initramfs", "chroot"]
PLACES: tuple[Place, ...] = ("initramfs", "chroot")


@dataclass(frozen=True, slots=True)
class HookFile:
    """`hooks/<where>/<name>`; `signature` is empty while nobody has signed it."""

    name: str
    where: Place
    path: Path
    content: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Site:
    """`nodes` are what they are with all that their groups say; `catalog` knows who said it."""

    paths: SitePaths
    settings: Settings
    nodes: Mapping[str, Node]
    layouts: Mapping[str, Layout]
    hooks: tuple[HookFile, ...]
    floors: Floors
    catalog: Catalog
    overlays: Mapping[str, Overlay]
    rules: tuple[Rule, ...] = ()

    @property
    def groups(self) -> Mapping[str, GroupEntry]:
        """By name; `all` is always there."""
        return self.catalog.groups

    def with_nodes(self, more: Iterable[Declared]) -> "Site":
        """This one, and `more` nodes that no file has."""
        together = self.catalog.with_nodes(more)
        return replace(self, catalog=together, nodes=together.nodes())

    def with_node(self, node: Declared) -> "Site":
        together = self.catalog.with_node(node)
        nodes = {**self.nodes, node.name: together.node(node.name)}
        return replace(self, catalog=together, nodes=nodes)

    def members(self, group: str) -> tuple[str, ...]:
        """The names of the group's nodes, in the order of the files."""
        return self.catalog.members(group)

    def targets(self, words: Sequence[str], others: Collection[str] = ()) -> tuple[str, ...]:
        """The nodes that `words` mean: names, groups, `all`, ranges as n[001-016], and several of
        them with commas; `others` are machines that the site does not name.

        Raises BadInput for a word that means none.
        """
        return targets.resolve(words, self.catalog, others)

    @property
    def boot_url(self) -> str:
        return f"http://{self.settings.address}:{self.settings.ports.boot}"

    @property
    def deal_url(self) -> str:
        """An infohash follows, after a slash."""
        return f"http://{self.settings.address}:{self.settings.ports.deal}/deal"

    @property
    def node_url(self) -> str:
        return f"https://{self.settings.address}:{self.settings.ports.node}"

    @property
    def operator_url(self) -> str:
        return f"https://{self.settings.address}:{self.settings.ports.operator}"

    def layout(self, name: str) -> Layout:
        """Raises BadInput when no file `layouts/<name>.yaml` exists."""
        try:
            return self.layouts[name]
        except KeyError:
            raise BadInput(
                f"no layout {name!r}{nearest(name, list(self.layouts))}",
                hint=f"write layouts/{name}.yaml",
            ) from None

    def rack_of(self, node: str) -> str:
        """ "" for a node that has none, and for one that the site does not know."""
        spec = self.nodes.get(node)
        return spec.rack if spec else ""

    def hooks_of(self, node: str) -> tuple[HookFile, ...]:
        """In the order in which they run: by name, so that 10-a precedes 20-b."""
        spec = self.nodes.get(node)
        chosen = spec.hooks if spec else None
        return tuple(hook for hook in self.hooks if chosen is None or hook.name in chosen)

    def overlays_of(self, node: str) -> tuple[Overlay, ...]:
        """In the order in which they are laid."""
        spec = self.nodes.get(node)
        return tuple(self.overlays[name] for name in spec.overlays) if spec else ()


def read_site(root: Path) -> Site:
    """Raises BadInput with the first problem; `swarmstrap check` shows all of them."""
    site, problems = examine_site(root)
    if problems or site is None:
        first = problems[0]
        more = f"and {len(problems) - 1} more: run swarmstrap check" if len(problems) > 1 else ""
        raise BadInput(first.message, hint=first.hint or more)
    return site


def check_folder(paths: SitePaths) -> None:
    if not paths.settings.is_file():
        hint = "make one with swarmstrap init, or say another with --site"
        raise BadInput(f"{paths.root} is not a site folder", hint=hint)


def denied(root: Path, error: PermissionError) -> BadInput:
    """What a person is told whom the system does not let at `error.filename`."""
    what = error.filename or root
    return BadInput(
        f"not allowed to use {what}: {error.strerror}",
        hint=f"be root, or who owns {root}",
    )


def examine_site(root: Path) -> tuple[Site | None, list[BadInput]]:
    """The site, unless site.yaml itself is wrong, and every problem found in its files."""
    paths = SitePaths(root)
    try:
        check_folder(paths)
    except BadInput as error:
        return None, [error]
    problems: list[BadInput] = []
    settings = _load(paths, paths.settings, Settings, problems)
    floors = Floors()
    try:
        floors = read_floors(paths)
    except BadInput as error:
        problems.append(error)
    layouts = {
        path.stem: layout
        for path in sorted((root / "layouts").glob("*.yaml"))
        if (layout := _load(paths, path, Layout, problems)) is not None
    }
    hooks = tuple(_hooks(root, problems))
    for layout in layouts.values():
        problems += sitecheck.layout_problems(layout)
    # A layout that cannot be read is known all the same: one mistake, one complaint.
    layout_names = [path.stem for path in (root / "layouts").glob("*.yaml")]
    overlays = read_overlays(paths, problems)
    known = Known(layout_names, [hook.name for hook in hooks], overlays)
    everybody = _catalog(paths, known, problems)
    if settings is None:
        return None, problems
    problems += sitecheck.settings_problems(settings, layout_names)
    rules = _rules(paths, everybody, problems)
    values = {name: layout.value for name, layout in layouts.items()}
    nodes = everybody.nodes()
    site = Site(paths, settings.value, nodes, values, hooks, floors, everybody, overlays, rules)
    return site, problems


def _catalog(paths: SitePaths, known: Known, problems: list[BadInput]) -> Catalog:
    before = len(problems)
    node_files = _load_all(paths, "nodes", NodesFile, problems)
    group_files = _load_all(paths, "groups", GroupsFile, problems)
    networks, wrong = networks_in(_load_all(paths, "networks", NetworksFile, problems))
    everybody = catalog(node_files, group_files, networks)
    known = replace(known, whole=len(problems) == before and not wrong)
    problems += wrong
    problems += node_problems(node_files, group_files, everybody, known)
    return everybody


def read_floors(paths: SitePaths) -> Floors:
    """What floors.yaml says, and nothing without one; raises BadInput."""
    if not paths.floors.exists():
        return Floors()
    document = load(paths.floors, Floors, name=paths.floors.name)
    for path, complaint in complaints(document.value):
        raise document.problem(path, complaint)
    return document.value


def _rules(paths: SitePaths, everybody: Catalog, problems: list[BadInput]) -> tuple[Rule, ...]:
    if not paths.discovery.exists():
        return ()
    document = _load(paths, paths.discovery, DiscoveryFile, problems)
    if document is None:
        return ()
    for position, rule in enumerate(document.value.rules):
        for key, complaint in rule_findings(rule, everybody.groups):
            problems.append(document.problem(("rules", position, key), complaint))
    return document.value.rules


def _load(
    paths: SitePaths, path: Path, kind: type[T], problems: list[BadInput]
) -> Document[T] | None:
    try:
        return load(path, kind, name=str(path.relative_to(paths.root)))
    except BadInput as error:
        problems.append(error)
        return None


def _load_all(
    paths: SitePaths, kind: str, file: type[T], problems: list[BadInput]
) -> list[Document[T]]:
    """`<kind>.yaml` and `<kind>/*.yaml`."""
    single = paths.root / f"{kind}.yaml"
    found = [*([single] if single.exists() else []), *sorted((paths.root / kind).glob("*.yaml"))]
    loaded = (_load(paths, path, file, problems) for path in found)
    return [document for document in loaded if document is not None]


def _hooks(root: Path, problems: list[BadInput]) -> Iterator[HookFile]:
    found = [(path, where) for where in PLACES for path in (root / "hooks" / where).glob("*")]
    for path, where in sorted(found, key=lambda item: item[0].name):
        if path.suffix == SIGNATURE_SUFFIX:
            continue
        name = f"hooks/{where}/{path.name}"
        if not sitecheck.HOOK_NAME.fullmatch(path.name):
            problems.append(
                BadInput(f"{name}: not a hook's name", hint="call it NN-name, as in 20-monitoring")
            )
            continue
        signature = path.with_name(path.name + SIGNATURE_SUFFIX)
        yield HookFile(
            name=path.name,
            where=where,
            path=path,
            content=path.read_bytes(),
            signature=signature.read_bytes() if signature.exists() else b"",
        )
