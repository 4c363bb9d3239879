# SPDX-License-Identifier: GPL-2.0-or-later
"""What the machine is: read, never written."""
