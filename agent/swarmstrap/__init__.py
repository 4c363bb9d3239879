# SPDX-License-Identifier: GPL-2.0-or-later
"""The agent: what runs on the node. Its pure modules are shared with the server."""

__version__ = "0.1.0"
