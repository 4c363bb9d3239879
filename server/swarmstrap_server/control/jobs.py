# SPDX-License-Identifier: GPL-2.0-or-later
"""The job: everything one node needs for one deployment, put together from site and image."""

from collections.abc import Mapping
from pathlib import Path
from secrets import token_hex
from types import MappingProxyType

from msgspec.structs import replace

from swarmstrap.errors import BadInput, Refused
from swarmstrap.layout import Layout, kind
from swarmstrap.layoutcheck import check_fits
from swarmstrap.manifest import MANIFEST_FILE, SIGNATURE_FILE, TORRENT_FILE, Manifest
from swarmstrap.overlays import words
from swarmstrap.preserving import check_pattern
from swarmstrap.wire import Hook, Job, Overlay
from swarmstrap_server.control.nodes import Deployment
from swarmstrap_server.control.operator_wire import Arm
from swarmstrap_server.site.networkchecks import address_of_another
from swarmstrap_server.site.reading import Site
from swarmstrap_server.site.signatures import how_to_sign
from swarmstrap_server.site.words import Node
from swarmstrap_server.site.yamlfile import Misfit


def new_deployment(
    site: Site, image: Manifest, order: Arm, node: str, now: float, installed: Deployment | None
) -> Deployment:
    """What `order` makes of `node`: where it says nothing the node's word holds, then the site's.
    `installed` is the deployment that wrote the node's disks.

    Raises BadInput when the layout does not exist, or is for another kind of image, and Refused
    when there is nothing to update.
    """
    spec = site.nodes.get(node)
    defaults = site.settings.defaults
    layout = order.layout or (spec.layout if spec else "") or defaults.layout
    origin = ""
    if order.mode == "update":
        found = _updatable(node, order, installed)
        layout, origin = found.layout, found.id
    for pattern in order.preserve:
        check_pattern(pattern)
    check_fits(site.layout(layout), image)
    if spec and node not in site.catalog.of_files:
        check_addresses(site, node)
    minutes = order.minutes if order.minutes is not None else defaults.arm_minutes
    return Deployment(
        id=token_hex(8),
        node=node,
        image=image.name,
        version=image.version,
        infohash=image.infohash,
        payload=image.payload.size,
        layout=layout,
        finish=order.finish or (spec.finish if spec else None) or defaults.finish,
        mode=order.mode,
        origin=origin,
        preserve=(*defaults.preserve, *order.preserve),
        allow_older=order.allow_older,
        verify=order.verify or defaults.verify,
        armed_at=now,
        until=now + 60 * minutes,
    )


def check_addresses(site: Site, node: str) -> None:
    """Raises BadInput. `swarmstrap check` knows no node that a rule or an operator named."""
    try:
        site.catalog.network(node)
    except Misfit as error:
        raise BadInput(f"network of {node}: {error.message}", hint=error.hint) from error
    if complaint := address_of_another(site.nodes, node):
        raise BadInput(complaint, hint="write its own network into a node file")


def _updatable(node: str, order: Arm, installed: Deployment | None) -> Deployment:
    if order.layout:
        raise BadInput("an update keeps its partitions", hint="leave out --layout")
    if installed is None:
        raise Refused(f"nothing was deployed to {node} yet", hint="leave out --mode update")
    if installed.state != "deployed":
        raise Refused(
            f"the deployment of {installed.title} that wrote the disks of {node} did not end well",
            hint="deploy the node afresh",
        )
    return installed


def make_job(
    site: Site,
    image: Path,
    deployment: Deployment,
    session: str,
    secrets: Mapping[str, str] = MappingProxyType({}),
) -> Job:
    """`image` is the published image's directory. Raises Refused when a hook or an overlay is
    not signed.

    A signature that is missing is sent as no bytes: whether to trust an image is the node's to say.
    """
    signature = image / SIGNATURE_FILE
    spec = site.nodes.get(deployment.node)
    defaults = site.settings.defaults
    return Job(
        deployment=deployment.id,
        node=deployment.node,
        session=session,
        manifest=(image / MANIFEST_FILE).read_bytes(),
        signature=signature.read_bytes() if signature.exists() else b"",
        torrent=(image / TORRENT_FILE).read_bytes(),
        layout=_layout(site, deployment),
        skip_block_devices=defaults.skip_block_devices,
        trackers=(f"{site.boot_url}/announce",),
        web_seeds=(web_seed(site, deployment.infohash),),
        seeders=tuple(seeder.address for seeder in site.settings.swarm.seeders),
        deal=f"{site.deal_url}/{deployment.infohash}",
        hostname=(spec.hostname if spec else "") or deployment.node,
        network=spec.network if spec else (),
        groups=spec.groups if spec else (),
        variables=_variables(spec) if spec else {},
        hooks=signed_hooks(site, deployment.node),
        overlays=signed_overlays(site, deployment.node),
        authorized_keys=defaults.authorized_keys,
        finish=deployment.finish,
        failure=(spec.failure if spec else None) or defaults.failure,
        seed_seconds=defaults.seed_seconds,
        boot_order=defaults.boot_order,
        mode=deployment.mode,
        origin=deployment.origin,
        preserve=deployment.preserve,
        allow_older=deployment.allow_older,
        verify=deployment.verify,
        passes_on=site.settings.swarm.boot_peers != "off",
        secrets=dict(secrets),
    )


def _variables(node: Node) -> dict[str, str]:
    """As a shell has them: numbers in decimal, `true` and `false`."""
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in node.variables.items()
    }


def template_words(site: Site, node: str) -> dict[str, str]:
    """What the templates of `node` may name, as its job will have it."""
    spec = site.nodes[node]
    return words(node, spec.hostname, spec.groups, _variables(spec))


def web_seed(site: Site, infohash: str) -> str:
    """For a node whose swarm stands still, and for no other: the server sends each a copy.

    BEP 19: to a URL that ends in a slash, clients append the torrent's name and the file's.
    """
    return f"{site.boot_url}/images/{infohash}/"


def signed_hooks(site: Site, node: str) -> tuple[Hook, ...]:
    """The hooks of `node` in their order; raises Refused when one of them is not signed."""
    hooks = site.hooks_of(node)
    for hook in hooks:
        if not hook.signature:
            hint = how_to_sign("hook", site.paths)
            raise Refused(f"hook {hook.name} is not signed", hint=hint)
    return tuple(
        Hook(
            name=hook.name,
            where=hook.where,
            content=hook.content,
            signature=hook.signature,
            timeout=site.settings.defaults.hook_seconds,
        )
        for hook in hooks
    )


def signed_overlays(site: Site, node: str) -> tuple[Overlay, ...]:
    """The overlays of `node` in their order; raises Refused when one of them is not signed."""
    overlays = site.overlays_of(node)
    for overlay in overlays:
        if not overlay.signature:
            hint = how_to_sign("overlay", site.paths)
            raise Refused(f"overlay {overlay.name} is not signed", hint=hint)
    return overlays


def _layout(site: Site, deployment: Deployment) -> Layout:
    layout = site.layout(deployment.layout)
    spec = site.nodes.get(deployment.node)
    if kind(layout) == "disk":
        return layout  # whose boot loader is the image's affair
    arguments = f"{layout.kernel_arguments} {spec.kernel_arguments if spec else ''}".split()
    return replace(layout, kernel_arguments=" ".join(arguments))
