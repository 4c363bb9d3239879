# SPDX-License-Identifier: GPL-2.0-or-later
"""A new signature for an image that is there, of which not a byte changes, nor its infohash."""

from swarmstrap.manifest import MANIFEST_FILE, SIGNATURE_FILE, SIGNATURE_NAMESPACE
from swarmstrap.sshsig import Signers, fingerprint
from swarmstrap_server.files import replace
from swarmstrap_server.images.library import Image
from swarmstrap_server.images.signing import Key, claimed, verify
from swarmstrap_server.images.verify import verify_signature


def sign_again(image: Image, key: Key, signers: Signers, *, blindly: bool = False) -> bool:
    """Whether the image was signed: it is not, when it already is by this key.

    Raises Untrusted when the signature that it has does not hold, unless it is to be signed
    `blindly`; and when that of `key` would not.
    """
    data = (image.directory / MANIFEST_FILE).read_bytes()
    place = image.directory / SIGNATURE_FILE
    if not blindly and verify_signature(image, signers) == fingerprint(key.public):
        return False
    signature = key.sign(data, SIGNATURE_NAMESPACE)
    verify(data, signature, namespace=SIGNATURE_NAMESPACE, signers=signers)
    replace(place, signature)
    return True


def signed_by(image: Image) -> str:
    """The fingerprint of whoever claims to have signed it; "" without a signature."""
    place = image.directory / SIGNATURE_FILE
    return claimed(place.read_bytes()) if place.exists() else ""
