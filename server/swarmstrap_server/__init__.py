# SPDX-License-Identifier: GPL-2.0-or-later
"""The image host: capture, publish, boot, seed, track, control."""
