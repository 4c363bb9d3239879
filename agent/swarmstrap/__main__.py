# SPDX-License-Identifier: GPL-2.0-or-later
import sys

from swarmstrap.cli import main

sys.exit(main())
