# SPDX-License-Identifier: GPL-2.0-or-later
"""What an image can be captured from: each kind is one `Source`."""
