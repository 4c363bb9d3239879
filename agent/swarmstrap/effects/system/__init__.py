# SPDX-License-Identifier: GPL-2.0-or-later
"""Work inside the installed system, with its own tools."""
