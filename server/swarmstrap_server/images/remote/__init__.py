# SPDX-License-Identifier: GPL-2.0-or-later
"""Another machine, reached by ssh, and how its system gets here."""
