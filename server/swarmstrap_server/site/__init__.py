# SPDX-License-Identifier: GPL-2.0-or-later
"""The site folder: what an operator writes, and the keys beside it."""
