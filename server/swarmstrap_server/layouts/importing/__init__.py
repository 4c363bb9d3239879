# SPDX-License-Identifier: GPL-2.0-or-later
"""Layouts made of what others wrote for other tools; what they lose on the way is listed."""
