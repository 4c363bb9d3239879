# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs on the deployed node: compares a tree there with descriptions made where it was captured.

    python3 on_node.py TREE DESCRIPTION...        # with tests/comparing.py beside it

Tells the rehearsal's port, in a line of JSON each, what is different and of how many values.
"""

import json
import re
import sys

from tests.comparing import compare, describe, read

PORT = "/dev/virtio-ports/org.swarmstrap.report"
# The rehearsal's own hook has left this rehearsal's nonce there.
WITH_NONCE = "/usr/local/lib/swarmstrap/report-boot"


def main() -> None:
    tree, *descriptions = sys.argv[1:]
    with open(WITH_NONCE, encoding="utf-8") as file:
        found = re.search(r"[0-9a-f]{32}", file.read())
    nonce = found[0] if found else ""
    here = describe(tree)
    with open(PORT, "w", encoding="ascii") as port:
        for name in descriptions:
            with open(name, encoding="ascii") as file:
                lines = compare(read(file.read()), here)
            told = {"nonce": nonce, "compared": name, "values": len(here), "differences": lines}
            print(json.dumps(told), file=port, flush=True)


if __name__ == "__main__":
    main()
