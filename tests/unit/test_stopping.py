# SPDX-License-Identifier: GPL-2.0-or-later
"""What a program that is asked to end gives back."""

import subprocess
import sys

import pytest

DEADLINE = 20.0
PROGRAM = """
import asyncio, sys
from swarmstrap_server.stopping import end_in_order

async def lab():
    try:
        print("ready", flush=True)
        await asyncio.sleep(60)
    finally:
        await asyncio.sleep(0.01)
        print("given back", flush=True)

end_in_order()
try:
    asyncio.run(lab())
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.parametrize("ignoring", [False, True], ids=["in front", "in the background"])
def test_a_loop_that_is_asked_to_end_is_unwound(ignoring: bool) -> None:
    # Shells have what they start in the background ignore interrupts.
    argv = ["env", "--ignore-signal=INT"] if ignoring else []
    with subprocess.Popen(
        [*argv, sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            process.terminate()
            assert process.stdout.read() == "given back\n"
            assert process.wait(DEADLINE) == 130
        finally:
            process.kill()
