# SPDX-License-Identifier: GPL-2.0-or-later
"""A process that stays what this one was at its start: small, of one thread, without a secret.

To fork a program that runs threads is to copy the locks that they hold, and everything it has
learned since. Whoever needs a process later has it forked by this one.
"""

import os
import signal
import socket
import threading
from collections.abc import Callable
from typing import NoReturn

from swarmstrap.errors import StepFailed

_SECONDS = 10.0
_BYTES = 4

Serve = Callable[[socket.socket], None]


class ForkServer:
    """Each child runs `serve` on one end of a socket pair, and ends when that returns."""

    def __init__(self, pid: int, control: socket.socket) -> None:
        self._pid = pid
        self._control = control
        self._control.settimeout(_SECONDS)
        self._asking = threading.Lock()

    @classmethod
    def start(cls, serve: Serve) -> "ForkServer":
        """Call it while there are no other threads and no secrets."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pid = os.fork()
        if pid:
            theirs.close()
            return cls(pid, ours)
        ours.close()
        _in_child(lambda: _answer(theirs, serve))

    def fork(self) -> tuple[int, socket.socket]:
        """The process id of a new child, and this end of its socket pair."""
        ours, theirs = socket.socketpair()
        with theirs:
            return self._ask(0, [theirs.fileno()]), ours

    def status(self, pid: int) -> int:
        """The wait status, as of waitpid(2), of a child that has ended; to be asked for once."""
        return self._ask(pid, [])

    def stop(self) -> None:
        """End the server; its children live on until their sockets are closed."""
        if self._control.fileno() >= 0:
            self._control.close()
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)

    def _ask(self, pid: int, descriptors: list[int]) -> int:
        try:
            with self._asking:
                socket.send_fds(self._control, [_pack(pid)], descriptors)
                reply = self._control.recv(_BYTES)
        except OSError as error:
            raise _lost() from error
        if not reply:
            raise _lost()
        return int.from_bytes(reply, "little")


def _answer(control: socket.socket, serve: Serve) -> None:
    """Until the other end is closed: fork for a socket, wait for a process id."""
    # The event loop of our origin must not see our signals, and Ctrl-C is for it to decide.
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    while True:
        question, descriptors, _, _ = socket.recv_fds(control, _BYTES, 1)
        if not question:
            return
        if descriptors:
            reply = _fork(control, socket.socket(fileno=descriptors[0]), serve)
        else:
            reply = os.waitpid(int.from_bytes(question, "little"), 0)[1]
        control.send(_pack(reply))


def _fork(control: socket.socket, connection: socket.socket, serve: Serve) -> int:
    pid = os.fork()
    if pid:
        connection.close()
        return pid
    control.close()
    _in_child(lambda: serve(connection))


def _in_child(work: Callable[[], None]) -> NoReturn:
    """Nothing of what the parent would do at its end happens here."""
    status = 1
    try:
        work()
        status = 0
    finally:
        os._exit(status)


def _pack(number: int) -> bytes:
    return number.to_bytes(_BYTES, "little")


def _lost() -> StepFailed:
    return StepFailed(
        "the process that starts the writers is gone",
        hint="see the kernel log; a node needs memory for every writer",
    )
