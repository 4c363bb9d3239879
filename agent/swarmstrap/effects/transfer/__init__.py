# SPDX-License-Identifier: GPL-2.0-or-later
"""How an image comes to the node and goes on to its peers."""
