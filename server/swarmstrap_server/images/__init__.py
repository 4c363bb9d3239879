# SPDX-License-Identifier: GPL-2.0-or-later
"""Images: captured, packed, signed, published, verified."""
