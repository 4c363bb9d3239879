# SPDX-License-Identifier: GPL-2.0-or-later
"""Everything that writes to a disk below its files."""
