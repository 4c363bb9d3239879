# SPDX-License-Identifier: GPL-2.0-or-later
"""The installed system's network: what was written, what is wrong with it, and each stack's files.

All of it is pure.
"""
