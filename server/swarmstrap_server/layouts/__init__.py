# SPDX-License-Identifier: GPL-2.0-or-later
"""Tools for layouts that need no node: explained, drawn up as a schema, imported from others."""
