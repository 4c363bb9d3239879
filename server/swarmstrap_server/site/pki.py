# SPDX-License-Identifier: GPL-2.0-or-later
"""The site's certificate authority, and the certificate by which nodes know this server.

Certificates are valid from long ago and for long: a node's clock may say 2000 or 2001 after its
battery died, and "not yet valid" would then stop an installation that nothing else is wrong with.
What protects a site is that its CA signs for one server, not that it expires.
"""

import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from swarmstrap.errors import BadInput

_NOT_BEFORE = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)
# Fits ASN.1 UTCTime, which ends with 2049.
_NOT_AFTER = datetime.datetime(2049, 12, 31, tzinfo=datetime.UTC)


@dataclass(frozen=True, slots=True)
class Pair:
    """A private key (PKCS #8) and its certificate, both PEM."""

    key: bytes
    certificate: bytes


def make_ca(site: str) -> Pair:
    """A new CA that may sign end-entity certificates and nothing else."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(f"Swarmstrap site CA {site}")
    usage = _key_usage(signs_certificates=True)
    builder = (
        _builder(name, name, key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return _pair(key, builder.sign(key, hashes.SHA256()))


def make_server(ca: Pair, addresses: Sequence[str]) -> Pair:
    """A certificate for a server reached at `addresses`, each an IP address or a DNS name."""
    ca_key = serialization.load_pem_private_key(ca.key, password=None)
    if not isinstance(ca_key, ec.EllipticCurvePrivateKey):
        raise TypeError("the CA key is not an elliptic curve key")
    issuer = x509.load_pem_x509_certificate(ca.certificate)
    key = ec.generate_private_key(ec.SECP256R1())
    alternatives = x509.SubjectAlternativeName([_alternative(address) for address in addresses])
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    builder = (
        _builder(_name(addresses[0]), issuer.subject, key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(alternatives, critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(authority, critical=False)
    )
    return _pair(key, builder.sign(ca_key, hashes.SHA256()))


def covers(certificate: bytes, address: str) -> bool:
    """Whether a client that connects to `address` will accept this PEM certificate's names.

    Raises BadInput for what is no certificate.
    """
    try:
        extensions = x509.load_pem_x509_certificate(certificate).extensions
    except ValueError as error:
        raise BadInput("not a certificate in PEM") from error
    try:
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    return _alternative(address) in names


def signed_by(certificate: bytes, ca_certificate: bytes) -> bool:
    """Whether the CA issued this certificate; both PEM."""
    ca = x509.load_pem_x509_certificate(ca_certificate)
    try:
        x509.load_pem_x509_certificate(certificate).verify_directly_issued_by(ca)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _alternative(address: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(address))
    except ValueError:
        return x509.DNSName(address)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_NOT_BEFORE)
        .not_valid_after(_NOT_AFTER)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pair(key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> Pair:
    pem = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    return Pair(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain),
        certificate.public_bytes(pem),
    )
