# SPDX-License-Identifier: GPL-2.0-or-later
"""The lab: virtual nodes on a network of their own, watched until each ends in a known way."""
