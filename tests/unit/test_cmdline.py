# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel command line as a person or a boot script writes it."""

import pytest

from swarmstrap.cmdline import Lease, Settings, parse
from swarmstrap.errors import BadInput

SERVER = "swarmstrap.server=https://192.0.2.1:8443"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"quiet {SERVER} console=ttyS0", Settings("https://192.0.2.1:8443")),
        (f"{SERVER}/", Settings("https://192.0.2.1:8443")),
        (
            f"BOOTIF=01-52-54-00-AB-cd-01 {SERVER}",
            Settings("https://192.0.2.1:8443", boot_mac="52:54:00:ab:cd:01"),
        ),
        (
            f"{SERVER} swarmstrap.ip=192.0.2.7 swarmstrap.mask=255.255.255.0 swarmstrap.gw= "
            "swarmstrap.dns=192.0.2.1,192.0.2.2",
            Settings(
                "https://192.0.2.1:8443",
                lease=Lease("192.0.2.7/24", "", ("192.0.2.1", "192.0.2.2")),
            ),
        ),
        (f"{SERVER} swarmstrap.ip= swarmstrap.mask=", Settings("https://192.0.2.1:8443")),
        (f"{SERVER} swarmstrap.dry-run", Settings("https://192.0.2.1:8443", dry_run=True)),
        (f"{SERVER} swarmstrap.dry-run=no", Settings("https://192.0.2.1:8443")),
        (
            f'{SERVER} swarmstrap.break="image" other="a swarmstrap.nonsense"',
            Settings("https://192.0.2.1:8443", break_at="image"),
        ),
    ],
)
def test_settings(text: str, expected: Settings) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("quiet", "no swarmstrap.server on the kernel command line (boot with"),
        (
            f"{SERVER} swarmstrap.dryrun",
            "unknown kernel argument swarmstrap.dryrun (did you mean swarmstrap.dry-run?)",
        ),
        (f"{SERVER} swarmstrap.dry-run=maybe", "swarmstrap.dry-run=maybe is not yes or no"),
        ("swarmstrap.server=http://192.0.2.1", "http://192.0.2.1 is not a server (write https"),
        (f"{SERVER} BOOTIF=eth0", "BOOTIF=eth0 is not a MAC address"),
        (f"{SERVER} swarmstrap.ip=192.0.2.300", "not a network lease: Octet 300"),
        (f"{SERVER} swarmstrap.ip=192.0.2.3 swarmstrap.gw=router", "not a network lease: 'router'"),
        (f"{SERVER} swarmstrap.break=lunch", "swarmstrap.break=lunch is no place (one of look,"),
    ],
)
def test_complaints(text: str, complaint: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse(text)
    assert complaint in str(caught.value)
