# SPDX-License-Identifier: GPL-2.0-or-later
"""The API of operators and programs: a table of routes, which is also its OpenAPI document."""
