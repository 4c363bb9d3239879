# SPDX-License-Identifier: GPL-2.0-or-later
"""Pages for a browser: pure modules make their values, templates show them, `live` renews them."""
