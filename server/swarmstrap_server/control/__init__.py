# SPDX-License-Identifier: GPL-2.0-or-later
"""Nodes and their deployments: armed by an operator, reported by the node."""
