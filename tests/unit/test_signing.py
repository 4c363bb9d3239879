# SPDX-License-Identifier: GPL-2.0-or-later
"""What the publisher signs, node and server accept; nothing else."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from swarmstrap.effects.trust import verify_signature
from swarmstrap.errors import BadInput, Untrusted
from swarmstrap.manifest import HOOK_NAMESPACE, SIGNATURE_NAMESPACE
from swarmstrap_server.images import signing
from swarmstrap_server.images.signing import Key

DATA = b'{"name": "debian"}\n'


@pytest.fixture
def key(tmp_path: Path) -> Key:
    return Key.generate(tmp_path / "publisher")


@pytest.fixture
def allowed(tmp_path: Path, key: Key) -> Path:
    path = tmp_path / "allowed_signers"
    path.write_text(key.allowed_signers())
    return path


@pytest.fixture(params=["node", "server"])
def accept(request: pytest.FixtureRequest) -> Callable[..., None]:
    return verify_signature if request.param == "node" else signing.verify


@pytest.mark.parametrize("namespace", [SIGNATURE_NAMESPACE, HOOK_NAMESPACE])
def test_accepted(accept: Callable[..., None], key: Key, allowed: Path, namespace: str) -> None:
    signature = key.sign(DATA, namespace)
    accept(DATA, signature, namespace=namespace, allowed_signers=allowed)


def test_changed_data(accept: Callable[..., None], key: Key, allowed: Path) -> None:
    signature = key.sign(DATA, SIGNATURE_NAMESPACE)
    with pytest.raises(Untrusted, match="the image's signature does not hold"):
        accept(DATA + b" ", signature, namespace=SIGNATURE_NAMESPACE, allowed_signers=allowed)


def test_a_hook_is_no_image(accept: Callable[..., None], key: Key, allowed: Path) -> None:
    signature = key.sign(DATA, HOOK_NAMESPACE)
    with pytest.raises(Untrusted, match="the image's signature does not hold"):
        accept(DATA, signature, namespace=SIGNATURE_NAMESPACE, allowed_signers=allowed)


def test_another_key(accept: Callable[..., None], tmp_path: Path, allowed: Path) -> None:
    signature = Key.generate(tmp_path / "other").sign(DATA, SIGNATURE_NAMESPACE)
    with pytest.raises(Untrusted, match="the image's signature does not hold"):
        accept(DATA, signature, namespace=SIGNATURE_NAMESPACE, allowed_signers=allowed)


def test_the_key_for_another_purpose(accept: Callable[..., None], key: Key, allowed: Path) -> None:
    # Whoever holds the publisher's key may not say what else its signatures mean.
    signature = key.sign(DATA, "git")
    with pytest.raises(Untrusted, match="the git's signature does not hold"):
        accept(DATA, signature, namespace="git", allowed_signers=allowed)


@pytest.mark.parametrize(
    ("signature", "message"),
    [
        (b"", "the image has no signature"),
        (b"not a signature", "the image's signature does not hold"),
        (b"\xff\0", "the image's signature does not hold"),
    ],
)
def test_no_signature(
    accept: Callable[..., None], allowed: Path, signature: bytes, message: str
) -> None:
    with pytest.raises(Untrusted, match=message):
        accept(DATA, signature, namespace=SIGNATURE_NAMESPACE, allowed_signers=allowed)


def test_a_key_that_an_agent_holds(
    key: Key, allowed: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    socket = tmp_path / "agent"
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", socket], stdout=subprocess.PIPE)
    try:
        assert agent.stdout is not None
        agent.stdout.readline()  # written when the socket is there
        monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
        subprocess.run(["ssh-add", "-q", key.path], check=True)
        key.path.unlink()
        signature = Key(Path(f"{key.path}.pub")).sign(DATA, SIGNATURE_NAMESPACE)
    finally:
        agent.terminate()
        agent.wait(10)
    signing.verify(DATA, signature, namespace=SIGNATURE_NAMESPACE, allowed_signers=allowed)


def test_bad_keys(key: Key, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="exists already"):
        Key.generate(key.path)
    with pytest.raises(BadInput, match="does not exist"):
        Key(tmp_path / "missing").sign(DATA, SIGNATURE_NAMESPACE)
