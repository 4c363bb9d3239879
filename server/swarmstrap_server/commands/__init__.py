# SPDX-License-Identifier: GPL-2.0-or-later
"""The `swarmstrap` command: its parts, and what they show."""

import argparse
from typing import TypeAlias

# What a module adds its commands to; argparse has no public name for it.
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
