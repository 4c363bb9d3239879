# SPDX-License-Identifier: GPL-2.0-or-later
"""A key is rotated, revoked and remembered, and no image changes for it."""

import json
from pathlib import Path

import pytest
from tests.trees import small_system

from swarmstrap.effects.trust import SIGNERS, verify_signature
from swarmstrap.errors import BadInput, Untrusted
from swarmstrap.manifest import (
    HOOK_NAMESPACE,
    MANIFEST_FILE,
    SIGNATURE_FILE,
    SIGNATURE_NAMESPACE,
)
from swarmstrap.sshsig import Signers
from swarmstrap_server import cli
from swarmstrap_server.commands.exits import Exit
from swarmstrap_server.control.admission import check_hooks, check_image
from swarmstrap_server.images.library import Image, ImageStore
from swarmstrap_server.images.publish import publish
from swarmstrap_server.images.resign import signed_by
from swarmstrap_server.images.signing import Key, claimed
from swarmstrap_server.images.sources.directory import Directory
from swarmstrap_server.installer.baked import baked
from swarmstrap_server.site.keyring import Keyring
from swarmstrap_server.site.making import init
from swarmstrap_server.site.paths import SitePaths
from swarmstrap_server.site.reading import read_site

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def paths(tmp_path: Path) -> SitePaths:
    root = tmp_path / "site"
    init(root, "test", ["192.0.2.1"], None)
    return SitePaths(root)


@pytest.fixture
def image(paths: SitePaths, tmp_path: Path) -> Image:
    small_system(tmp_path / "source")
    store, key = ImageStore(paths.images), Key(paths.publisher)
    publish(Directory(tmp_path / "source"), "system", "1", store, key, level=1)
    return store.get("system", "1")


def run(paths: SitePaths, *arguments: str) -> int:
    return cli.main(["--site", str(paths.root), *arguments])


def roles(paths: SitePaths) -> dict[str, str]:
    return {key.fingerprint: key.role for key in Keyring(paths).ls()}


def signed_hook(paths: SitePaths) -> Path:
    hook = paths.root / "hooks/chroot/10-a"
    hook.write_text("#!/bin/sh\n")
    signature = Key(paths.publisher).sign(hook.read_bytes(), HOOK_NAMESPACE)
    hook.with_name("10-a.sig").write_bytes(signature)
    return hook


def contents(image: Image) -> dict[str, bytes]:
    files = sorted(image.directory.iterdir())
    return {path.name: path.read_bytes() for path in files if path.name != SIGNATURE_FILE}


def test_from_one_key_to_the_next(paths: SitePaths, image: Image, capsys: Capture) -> None:
    hook = signed_hook(paths)
    before = contents(image)
    first = signed_by(image)
    assert run(paths, "key", "add") == 0
    [second] = roles(paths).keys() - {first}
    assert roles(paths) == {first: "current", second: "next"}
    # Both count, so that nodes can learn the next one before anything is signed with it.
    check_image(read_site(paths.root), image)

    assert run(paths, "key", "rotate") == 0
    assert roles(paths) == {first: "allowed", second: "current"}
    check_image(read_site(paths.root), image)
    capsys.readouterr()
    assert run(paths, "image", "sign", "--signed-by", first) == 0
    assert capsys.readouterr().out == "signed system:1\n"
    assert run(paths, "image", "sign", "system:1") == 0
    assert capsys.readouterr().out == "nothing to sign\n"
    assert run(paths, "image", "sign", "system:1", "--key", "missing") == 1
    assert "cannot read the key missing.pub: " in capsys.readouterr().err
    assert signed_by(image) == second

    assert run(paths, "hook", "sign", "--signed-by", first) == 0
    assert capsys.readouterr().out == "signed hooks/chroot/10-a\n"

    assert run(paths, "key", "revoke", first) == 0
    assert roles(paths) == {first: "revoked", second: "current"}
    check_image(read_site(paths.root), image)
    check_hooks(read_site(paths.root), ["n1"])
    assert claimed(hook.with_name("10-a.sig").read_bytes()) == second
    assert contents(image) == before
    assert (paths.publisher.stat().st_mode & 0o777) == 0o600
    assert len(list(paths.keys.glob("retired-*.pub"))) == 1


def test_nodes_follow_what_is_baked(paths: SitePaths, image: Image, tmp_path: Path) -> None:
    first = signed_by(image)
    old = initramfs(paths, tmp_path / "old")
    Keyring(paths).add(None, is_next=True)
    both = initramfs(paths, tmp_path / "both")
    Keyring(paths).rotate()
    for signers in (old, both):
        accepted_by_node(image, signers)
    assert run(paths, "image", "sign", "--signed-by", first) == 0
    accepted_by_node(image, both)
    with pytest.raises(Untrusted, match="none of the publisher's"):
        accepted_by_node(image, old)
    Keyring(paths).revoke(first)
    new = initramfs(paths, tmp_path / "new")
    accepted_by_node(image, new)
    stolen = Key(next(path for path in paths.keys.glob("retired-*") if path.suffix != ".pub"))
    data = (image.directory / MANIFEST_FILE).read_bytes()
    forged = stolen.sign(data, SIGNATURE_NAMESPACE)
    with pytest.raises(Untrusted, match="was revoked"):
        verify_signature(data, forged, namespace=SIGNATURE_NAMESPACE, signers=new)


def initramfs(paths: SitePaths, folder: Path) -> Signers:
    """Whom a node trusts that boots the installer as it would be built now."""
    for path, content in baked(read_site(paths.root)).items():
        (folder / path.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
        (folder / path.lstrip("/")).write_bytes(content)
    etc = folder / "etc/swarmstrap"
    return Signers(etc / SIGNERS.allowed.name, etc / SIGNERS.revoked.name)


def accepted_by_node(image: Image, signers: Signers) -> None:
    data = (image.directory / MANIFEST_FILE).read_bytes()
    signature = (image.directory / SIGNATURE_FILE).read_bytes()
    verify_signature(data, signature, namespace=SIGNATURE_NAMESPACE, signers=signers)


def test_what_a_revoked_key_signed_counts_no_more(
    paths: SitePaths, image: Image, capsys: Capture
) -> None:
    signed_hook(paths)
    site = read_site(paths.root)
    check_hooks(site, ["n1"])
    first = signed_by(image)
    assert run(paths, "key", "add") == run(paths, "key", "rotate") == 0
    capsys.readouterr()
    assert run(paths, "key", "revoke", first) == 0
    said = capsys.readouterr().out
    assert "system:1 was signed by it: swarmstrap image sign --force system:1" in said
    assert "hook 10-a is not signed now: run swarmstrap hook sign" in said
    with pytest.raises(Untrusted, match=r"system:1: the image's .*, which was revoked"):
        check_image(site, image)
    with pytest.raises(Untrusted, match=r"hook 10-a: .*, which was revoked \(run swarmstrap hook"):
        check_hooks(site, ["n1"])
    # Nobody signs what he cannot know to be whole, unless he says so.
    assert run(paths, "image", "sign", "system:1") == Exit.UNTRUSTED
    assert "which was revoked" in capsys.readouterr().err
    assert run(paths, "image", "sign", "--force", "system:1") == 0
    check_image(site, image)


def test_another_publisher(paths: SitePaths, tmp_path: Path, capsys: Capture) -> None:
    stranger = Key.generate(tmp_path / "stranger")
    public = f"{stranger.path}.pub"
    assert run(paths, "key", "add", public) == 0
    assert run(paths, "key", "ls", "--json") == 0
    listed = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [key["role"] for key in listed] == ["current", "allowed"]
    assert Path(public).read_text().startswith(listed[1]["key"])
    assert run(paths, "key", "add", public) == 1
    assert "is allowed already" in capsys.readouterr().err
    assert run(paths, "key", "revoke", public) == 0
    assert run(paths, "key", "add", public) == 1
    assert "was revoked (see swarmstrap key ls)" in capsys.readouterr().err
    assert run(paths, "key", "revoke", public) == 1
    assert "was revoked already" in capsys.readouterr().err


def test_a_next_key_whose_private_half_is_elsewhere(paths: SitePaths, tmp_path: Path) -> None:
    other = Key.generate(tmp_path / "other")
    public = Path(f"{other.path}.pub")
    Keyring(paths).add(public, is_next=True)
    assert [key.role for key in Keyring(paths).ls()] == ["current", "next"]
    with pytest.raises(BadInput, match="there is a next key already"):
        Keyring(paths).add(None, is_next=True)
    Keyring(paths).rotate()
    assert not paths.publisher.exists()
    assert Path(f"{paths.publisher}.pub").read_text() == public.read_text()
    with pytest.raises(BadInput, match="not on this machine, nor should the next one be"):
        Keyring(paths).add(None, is_next=True)


def test_a_next_key_that_is_revoked_never_signs(paths: SitePaths) -> None:
    added = Keyring(paths).add(None, is_next=True)
    Keyring(paths).revoke(added.fingerprint)
    with pytest.raises(BadInput, match="there is no next key"):
        Keyring(paths).rotate()


def test_a_list_that_people_wrote_is_kept(paths: SitePaths, tmp_path: Path) -> None:
    other = Key.generate(tmp_path / "other")
    written = paths.allowed_signers.read_text() + "# the other team\n" + other.allowed_signers()
    paths.allowed_signers.write_text(written.rstrip("\n"))
    added = Keyring(paths).add(None, is_next=True)
    assert paths.allowed_signers.read_text().startswith(written)
    Keyring(paths).revoke(added.fingerprint)
    assert paths.allowed_signers.read_text() == written


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["key", "rotate"], "there is no next key (make one: swarmstrap key add"),
        (["key", "revoke", "SHA256:x"], "no key 'SHA256:x' (say a fingerprint of swarmstrap key"),
        (["key", "revoke", "CURRENT"], "is the key that signs now (first swarmstrap key add"),
        (["key", "add", "site.yaml"], "cannot read the key"),
        (["key", "add", "hosts.pub"], "hosts.pub is no public key"),
        (["image", "sign"], "say which images to sign"),
    ],
)
def test_what_cannot_be_done(
    paths: SitePaths,
    arguments: list[str],
    said: str,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(paths.root)
    Path("hosts.pub").write_text("127.0.0.1 localhost\n")
    current = Keyring(paths).ls()[0].fingerprint
    assert run(paths, *(word.replace("CURRENT", current) for word in arguments)) == 1
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_a_revocation_list_of_openssh_is_left_alone(paths: SitePaths) -> None:
    paths.revoked_keys.write_bytes(b"SSHKRL\n\0...")
    with pytest.raises(BadInput, match="is a KRL"):
        Keyring(paths).ls()
