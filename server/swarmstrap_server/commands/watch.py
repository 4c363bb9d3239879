# SPDX-License-Identifier: GPL-2.0-or-later
"""`swarmstrap watch`: follow the server's stream on a terminal, in a log, or as JSON lines."""

from collections.abc import Callable, Iterable, Sequence

import msgspec
from rich.console import Console
from rich.live import Live

from swarmstrap.errors import Unreachable
from swarmstrap_server.commands.board import Board, line, live, result
from swarmstrap_server.control.client import Operator
from swarmstrap_server.control.operator_wire import Record, Snapshot

Messages = Iterable[Snapshot | Record]

_REFRESHES_A_SECOND = 4


def watch(messages: Messages, nodes: Sequence[str], console: Console) -> Board:
    """Until every node that was armed or deploying has ended; with nobody at work, for ever.

    On a terminal a table that changes in place, otherwise a line an event; the result at the end.
    Raises Unreachable when the messages end before that.
    """
    board = Board(frozenset(nodes))
    if console.is_terminal:
        with Live(
            console=console,
            get_renderable=lambda: live(board),
            refresh_per_second=_REFRESHES_A_SECOND,
            transient=True,
        ):
            _follow(messages, board, lambda _: None)
    else:
        _follow(messages, board, lambda message: _print_line(message, board, console))
    console.print(result(board))
    return board


def watch_json(messages: Messages, nodes: Sequence[str], write: Callable[[str], None]) -> Board:
    """Every message as one line of JSON: first a Snapshot, then Records (operator_wire.py)."""
    board = Board(frozenset(nodes))
    _follow(messages, board, lambda message: write(msgspec.json.encode(message).decode()))
    return board


def follow(server: Operator, nodes: Sequence[str], *, as_json: bool) -> Board:
    """As `watch` or `watch_json`, what the server tells."""
    messages = server.stream()
    if as_json:
        return watch_json(messages, nodes, lambda line: print(line, flush=True))
    return watch(messages, nodes, Console())


def _follow(messages: Messages, board: Board, tell: Callable[[Snapshot | Record], None]) -> None:
    for message in messages:
        board.take(message)
        tell(message)
        if board.done:
            return
    raise Unreachable("the server ended the stream", hint="start it again, then watch again")


def _print_line(message: Snapshot | Record, board: Board, console: Console) -> None:
    if isinstance(message, Record) and message.node in board.rows:
        if text := line(message):
            console.print(text, highlight=False, markup=False, soft_wrap=True)
