"""One listening socket, many workers: each new connection goes to the worker that holds the fewest.

All workers wait on the same queue of connections, so what a killed worker had not taken yet others take. Left to
themselves they share badly: whoever wakes first takes all that wait. So a worker takes one at a time, and leaves it to
the others for a moment while one of them holds fewer.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import mmap
import socket
from collections.abc import Callable, Sized
from pathlib import Path

log = logging.getLogger(__name__)

YIELD_SECONDS = 0.002
"""So long a connection is left to a worker that holds fewer; it may be busy."""
OUT_OF_FILES_SECONDS = 0.1
AWAY = 2**62
_SLOT_BYTES = 8


class Board:
    """How many connections each worker holds, in a small file that all of them map; each writes its own place."""

    def __init__(self, file: Path) -> None:
        with file.open("r+b") as stream:
            self._counts = memoryview(mmap.mmap(stream.fileno(), 0)).cast("q")

    @classmethod
    def create(cls, file: Path, workers: int) -> Board:
        """A board in a new file, nobody there yet."""
        file.write_bytes(bytes(workers * _SLOT_BYTES))
        board = cls(file)
        for worker in range(workers):
            board.put(worker, AWAY)
        return board

    def put(self, worker: int, count: int) -> None:
        """Write a worker's count; `AWAY` for one that takes no connections."""
        self._counts[worker] = count

    def least(self) -> int:
        """The smallest count."""
        return min(self._counts)


class Acceptor:
    """Takes connections from a listening socket, fairly beside other workers; stands in for asyncio's server.

    Args:
        listener: the socket, which stays open.
        factory: makes the protocol of a connection.
        held: the connections that this worker holds.
        board: what all workers hold.
        place: this worker's on the board.
    """

    def __init__(
        self,
        listener: socket.socket,
        factory: Callable[[], asyncio.Protocol],
        held: Sized,
        board: Board,
        place: int,
    ) -> None:
        self._listener = listener
        self._factory = factory
        self._held = held
        self._board = board
        self._place = place
        self._loop = asyncio.get_running_loop()
        self._arriving: set[asyncio.Task[object]] = set()
        self._open = True
        self._left_to_others = False
        listener.setblocking(False)
        self._wait()

    def write_count(self) -> int:
        """Put on the board what this worker holds, and give it back."""
        count = len(self._held) + len(self._arriving)
        self._board.put(self._place, count if self._open else AWAY)
        return count

    def close(self) -> None:
        """Take no more connections."""
        if self._open:
            self._open = False
            self._loop.remove_reader(self._listener)
            self.write_count()

    async def wait_closed(self) -> None:
        """Nothing is left to wait for."""

    async def settle(self) -> None:
        """Wait for the connections that were taken to be ready."""
        await asyncio.gather(*self._arriving, return_exceptions=True)

    def _wait(self) -> None:
        if self._open:
            self._loop.add_reader(self._listener, self._ready)

    def _ready(self) -> None:
        if not self._left_to_others and self.write_count() > self._board.least():
            self._left_to_others = True
            self._rest(YIELD_SECONDS)
            return
        self._left_to_others = False
        self._accept()

    def _rest(self, seconds: float) -> None:
        self._loop.remove_reader(self._listener)
        self._loop.call_later(seconds, self._wait)

    def _accept(self) -> None:
        """Take one connection, where another worker was not faster."""
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as error:
            # Out of descriptors: the connection stays in the queue, and would wake this at once again.
            log.warning("a connection cannot be taken: %s", error.strerror)
            self._rest(OUT_OF_FILES_SECONDS)
            return
        connection.setblocking(False)
        task = self._loop.create_task(self._loop.connect_accepted_socket(self._factory, connection))
        self._arriving.add(task)
        task.add_done_callback(self._arrived)
        self.write_count()

    def _arrived(self, task: asyncio.Task[object]) -> None:
        self._arriving.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("a connection was lost as it came: %s", error)


async def take_waiting(listener: socket.socket, factory: Callable[[], asyncio.Protocol]) -> None:
    """Take the connections that wait in a queue to which no more shall come, and close it."""
    loop = asyncio.get_running_loop()
    listener.setblocking(False)
    connections = []
    with contextlib.closing(listener), contextlib.suppress(OSError):
        while True:
            connections.append(listener.accept()[0])
    for connection in connections:
        connection.setblocking(False)
        await loop.connect_accepted_socket(factory, connection)
