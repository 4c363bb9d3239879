# SPDX-License-Identifier: GPL-2.0-or-later
"""What the publisher signs, node and server accept; nothing else."""

import base64
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmstrap.effects.trust import verify_signature
from swarmstrap.errors import BadInput, Untrusted
from swarmstrap.manifest import HOOK_NAMESPACE, SIGNATURE_NAMESPACE
from swarmstrap.sshsig import Signers, fingerprint, signer
from swarmstrap_server.images import signing
from swarmstrap_server.images.signing import Key

DATA = b'{"name": "debian"}\n'


@pytest.fixture
def key(tmp_path: Path) -> Key:
    return Key.generate(tmp_path / "publisher")


@pytest.fixture
def signers(tmp_path: Path, key: Key) -> Signers:
    path = tmp_path / "allowed_signers"
    path.write_text(key.allowed_signers())
    return Signers(path, tmp_path / "revoked_keys")


@pytest.fixture(params=["node", "server"])
def accept(request: pytest.FixtureRequest) -> Callable[..., None]:
    return verify_signature if request.param == "node" else signing.verify


@pytest.mark.parametrize("namespace", [SIGNATURE_NAMESPACE, HOOK_NAMESPACE])
def test_accepted(accept: Callable[..., None], key: Key, signers: Signers, namespace: str) -> None:
    signature = key.sign(DATA, namespace)
    accept(DATA, signature, namespace=namespace, signers=signers)


def test_changed_data(accept: Callable[..., None], key: Key, signers: Signers) -> None:
    signature = key.sign(DATA, SIGNATURE_NAMESPACE)
    with pytest.raises(Untrusted, match="the image's signature does not hold"):
        accept(DATA + b" ", signature, namespace=SIGNATURE_NAMESPACE, signers=signers)


def test_a_hook_is_no_image(accept: Callable[..., None], key: Key, signers: Signers) -> None:
    signature = key.sign(DATA, HOOK_NAMESPACE)
    with pytest.raises(Untrusted, match="the image's signature does not hold"):
        accept(DATA, signature, namespace=SIGNATURE_NAMESPACE, signers=signers)


def test_another_key(accept: Callable[..., None], tmp_path: Path, signers: Signers) -> None:
    signature = Key.generate(tmp_path / "other").sign(DATA, SIGNATURE_NAMESPACE)
    with pytest.raises(Untrusted, match="the image's signature does not hold"):
        accept(DATA, signature, namespace=SIGNATURE_NAMESPACE, signers=signers)


def test_the_key_for_another_purpose(
    accept: Callable[..., None], key: Key, signers: Signers
) -> None:
    # Whoever holds the publisher's key may not say what else its signatures mean.
    signature = key.sign(DATA, "git")
    with pytest.raises(Untrusted, match="the git's signature does not hold"):
        accept(DATA, signature, namespace="git", signers=signers)


@pytest.mark.parametrize(
    ("signature", "message"),
    [
        (b"", "the image has no signature"),
        (b"not a signature", "the image's signature does not hold"),
        (b"\xff\0", "the image's signature does not hold"),
    ],
)
def test_no_signature(
    accept: Callable[..., None], signers: Signers, signature: bytes, message: str
) -> None:
    with pytest.raises(Untrusted, match=message):
        accept(DATA, signature, namespace=SIGNATURE_NAMESPACE, signers=signers)


def test_a_key_that_an_agent_holds(
    key: Key, signers: Signers, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
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
    signing.verify(DATA, signature, namespace=SIGNATURE_NAMESPACE, signers=signers)


def test_bad_keys(key: Key, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="exists already"):
        Key.generate(key.path)
    with pytest.raises(BadInput, match="does not exist"):
        Key(tmp_path / "missing").sign(DATA, SIGNATURE_NAMESPACE)


def test_a_revoked_key_signs_nothing_though_it_is_allowed(
    accept: Callable[..., None], key: Key, signers: Signers, tmp_path: Path
) -> None:
    other = Key.generate(tmp_path / "next")
    with signers.allowed.open("a") as file:
        file.write(other.allowed_signers())
    signatures = {one: one.sign(DATA, SIGNATURE_NAMESPACE) for one in (key, other)}
    for signature in signatures.values():
        accept(DATA, signature, namespace=SIGNATURE_NAMESPACE, signers=signers)
    signers.revoked.write_bytes(Path(f"{key.path}.pub").read_bytes())
    accept(DATA, signatures[other], namespace=SIGNATURE_NAMESPACE, signers=signers)
    with pytest.raises(Untrusted, match=r"it is of key SHA256:\S+, which was revoked"):
        accept(DATA, signatures[key], namespace=SIGNATURE_NAMESPACE, signers=signers)


def test_a_revocation_list_in_the_binary_format_of_openssh(
    accept: Callable[..., None], key: Key, signers: Signers
) -> None:
    signature = key.sign(DATA, SIGNATURE_NAMESPACE)
    command: list[str | Path] = ["ssh-keygen", "-q", "-k", "-f", signers.revoked]
    command.append(f"{key.path}.pub")
    subprocess.run(command, check=True)
    with pytest.raises(Untrusted, match="the image's signature does not hold"):
        accept(DATA, signature, namespace=SIGNATURE_NAMESPACE, signers=signers)


def test_who_signed_is_told_as_openssh_tells_it(key: Key) -> None:
    public = f"{key.path}.pub"
    claimed = signer(key.sign(DATA, SIGNATURE_NAMESPACE))
    assert Path(public).read_text().startswith(claimed)
    command = ["ssh-keygen", "-l", "-f", public]
    told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    assert told.split()[1] == fingerprint(claimed)


@given(noise=st.binary(max_size=200))
def test_whatever_calls_itself_a_signature_can_be_told_about(noise: bytes) -> None:
    armour = base64.encodebytes(b"SSHSIG" + noise)
    begin, end = b"-----BEGIN SSH SIGNATURE-----\n", b"-----END SSH SIGNATURE-----\n"
    kinds = struct.pack(">I", 1) + struct.pack(">I", len(noise) + 4)
    whole = base64.encodebytes(b"SSHSIG" + kinds + struct.pack(">I", len(noise) // 2) + noise)
    for signature in (noise, begin + noise + end, begin + armour + end, begin + whole + end):
        claimed = signer(signature)
        assert claimed == "" or fingerprint(claimed).startswith("SHA256:")
