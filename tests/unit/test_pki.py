# SPDX-License-Identifier: GPL-2.0-or-later
"""Certificates as a TLS client sees them, whatever its clock says."""

import datetime
import ipaddress

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from swarmstrap.errors import BadInput
from swarmstrap_server.site import pki

CA = pki.make_ca("test")
SERVER = pki.make_server(CA, ["192.0.2.1", "server.example", "2001:db8::1"])


def verify(pair: pki.Pair, ca: pki.Pair, name: x509.GeneralName, year: int) -> None:
    policy = PolicyBuilder().store(Store([x509.load_pem_x509_certificate(ca.certificate)]))
    policy = policy.time(datetime.datetime(year, 6, 1, tzinfo=datetime.UTC))
    leaf = x509.load_pem_x509_certificate(pair.certificate)
    policy.build_server_verifier(name).verify(leaf, [])  # type: ignore[arg-type]


def address(text: str) -> x509.IPAddress:
    return x509.IPAddress(ipaddress.ip_address(text))


@pytest.mark.parametrize("year", [2000, 2001, 2026, 2049])
def test_a_clock_that_is_years_off_still_trusts_the_server(year: int) -> None:
    verify(SERVER, CA, address("192.0.2.1"), year)
    verify(SERVER, CA, address("2001:db8::1"), year)
    verify(SERVER, CA, x509.DNSName("server.example"), year)


def test_another_address_and_another_ca_are_not_trusted() -> None:
    with pytest.raises(VerificationError):
        verify(SERVER, CA, address("192.0.2.2"), 2026)
    with pytest.raises(VerificationError):
        verify(SERVER, pki.make_ca("test"), address("192.0.2.1"), 2026)


def test_a_server_cannot_sign_for_another() -> None:
    forged = pki.make_server(SERVER, ["192.0.2.1"])
    with pytest.raises(VerificationError):
        verify(forged, CA, address("192.0.2.1"), 2026)


def test_what_is_no_certificate_is_said() -> None:
    with pytest.raises(BadInput, match=r"^not a certificate in PEM"):
        pki.covers(b"junk", "192.0.2.1")


def test_what_a_certificate_covers_and_who_signed_it() -> None:
    assert pki.covers(SERVER.certificate, "192.0.2.1")
    assert pki.covers(SERVER.certificate, "server.example")
    assert not pki.covers(SERVER.certificate, "192.0.2.2")
    assert not pki.covers(CA.certificate, "192.0.2.1")
    assert pki.signed_by(SERVER.certificate, CA.certificate)
    assert not pki.signed_by(SERVER.certificate, pki.make_ca("test").certificate)
