# SPDX-License-Identifier: GPL-2.0-or-later
"""The installer: a kernel and the initramfs that carries the agent."""
