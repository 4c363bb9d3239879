# SPDX-License-Identifier: GPL-2.0-or-later
"""Switching machines on and off: a module for each way, behind one protocol."""
