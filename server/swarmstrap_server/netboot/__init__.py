# SPDX-License-Identifier: GPL-2.0-or-later
"""What firmware asks for: addresses, iPXE and its scripts, kernel and initramfs."""
