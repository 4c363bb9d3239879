# SPDX-License-Identifier: GPL-2.0-or-later
"""One image to many nodes: armed, switched on in windows, followed to the end of the last."""
