# SPDX-License-Identifier: GPL-2.0-or-later
"""The hands: everything that touches the world, one heavy library per module."""
