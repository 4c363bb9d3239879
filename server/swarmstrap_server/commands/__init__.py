# SPDX-License-Identifier: GPL-2.0-or-later
"""The `swarmstrap` command: its parts, and what they show."""
