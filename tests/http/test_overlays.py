# SPDX-License-Identifier: GPL-2.0-or-later
"""Overlays on their way to a node: signed ones travel, and no node is armed with others."""

import pytest
from tests.http.agents import arm, begin
from tests.http.conftest import Live

from swarmstrap.errors import BadInput, Refused, Untrusted
from swarmstrap.overlays import MOST_BYTES
from swarmstrap_server.images.signing import Key
from swarmstrap_server.site import signatures
from swarmstrap_server.site.reading import read_site

WORDS = """\
groups:
- name: all
  overlays: [base]
  variables: {ntp: 192.0.2.5}
"""


def put(live: Live, name: str, content: bytes) -> None:
    path = live.paths.overlays / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def sign(live: Live) -> None:
    signatures.sign(read_site(live.paths.root), "overlay", Key(live.paths.publisher))


@pytest.fixture(autouse=True)
def words(live: Live) -> None:
    (live.paths.root / "groups.yaml").write_text(WORDS)


async def test_they_travel_with_their_signatures(live: Live) -> None:
    put(live, "base/etc/motd.tmpl", b"$SWARMSTRAP_VAR_ntp\n")
    put(live, "base/large", bytes(MOST_BYTES // 2))
    sign(live)
    api, job = await begin(live)
    await api.close()
    assert job.overlays == read_site(live.paths.root).overlays_of("n1")
    assert [file.path for file in job.overlays[0].files] == ["/etc/motd", "/large"]


async def test_what_a_node_would_refuse_stops_the_arming(live: Live) -> None:
    put(live, "base/etc/motd.tmpl", b"$SWARMSTRAP_VAR_dns\n")
    with pytest.raises(Untrusted, match="overlay base: the overlay has no signature"):
        arm(live, "n1")
    sign(live)
    with pytest.raises(Refused, match=r"node n1: .*template of /etc/motd names SWARMSTRAP_VAR_dns"):
        arm(live, "n1")
    put(live, "base/etc/motd.tmpl", b"$SWARMSTRAP_VAR_ntp\n")
    with pytest.raises(Untrusted, match=r"overlay base: the overlay's signature does not hold"):
        arm(live, "n1")
    put(live, "base/large", bytes(MOST_BYTES))
    with pytest.raises(BadInput, match="overlays/base: larger than the 4 MiB that a node takes"):
        arm(live, "n1")
    assert live.services.deployments.store.last_arming("n1") is None
