# SPDX-License-Identifier: GPL-2.0-or-later
"""Who says what on a kernel's command line."""

import pytest

from swarmstrap.arguments import merged


@pytest.mark.parametrize(
    ("image", "layout", "line"),
    [
        ("", "", ""),
        ("quiet splash", "", "quiet splash"),
        ("quiet", "iommu=pt", "quiet iommu=pt"),
        ("quiet iommu=off", "quiet iommu=pt", "quiet iommu=pt"),
        # A layout that names a console means that one, and not the image's beside it.
        ("console=tty1 console=ttyS0", "console=ttyS1", "console=ttyS1"),
        ("console=tty1 console=ttyS0", "debug", "console=tty1 console=ttyS0 debug"),
        ("", "console=tty0 console=ttyS1", "console=tty0 console=ttyS1"),
        ("intel-iommu=on", "intel_iommu=off", "intel_iommu=off"),
    ],
)
def test_merged(image: str, layout: str, line: str) -> None:
    assert merged(image.split(), layout.split()) == line
