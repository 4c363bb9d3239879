# SPDX-License-Identifier: GPL-2.0-or-later
"""Frames become files, or a disk; files are compared with an index."""
