# SPDX-License-Identifier: GPL-2.0-or-later
"""The site in its swarms: tracker and seeder."""
