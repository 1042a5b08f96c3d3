"""Several processes that answer on one socket: started, watched, started again, told to stop."""

from __future__ import annotations

import contextlib
import logging
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Empty, SimpleQueue

from nextcart.config import Settings
from nextcart.errors import RunFailed
from nextcart.serving.processes.accepting import AWAY, Board
from nextcart.serving.processes.running import SHUTDOWN_SECONDS
from nextcart.serving.processes.worker import CANNOT_START, RELOAD, Orders
from nextcart.serving.run_folder import run_folder

log = logging.getLogger(__name__)

STEADY_SECONDS = 10.0
"""A worker that lived so long is started again at once."""
FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 30.0
KILL_SECONDS = SHUTDOWN_SECONDS + 3
LOOK_SECONDS = 0.5
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


def supervise(settings: Settings, models_root: Path, version: str | None, listener: socket.socket) -> None:
    """Keep ``settings.serving.workers`` processes answering on a socket until SIGTERM or SIGINT, then end them.

    SIGHUP has every worker look for a promoted version. A worker that dies is started again.

    Raises:
        RunFailed: the workers cannot start with these settings.
    """
    with run_folder() as folder:
        count = settings.serving.workers
        board = Board.create(folder / "board", count)

        def start(place: int, *, patient: bool) -> subprocess.Popen[bytes]:
            board.put(place, AWAY)
            orders = Orders(
                settings=settings,
                models=models_root,
                version=version,
                listener=listener.fileno(),
                board=folder / "board",
                place=place,
                patient=patient,
                metrics=folder / "metrics",
            )
            return _start(orders)

        with _signals() as signals:
            Supervisor(count, start, lambda place: board.put(place, AWAY)).run(signals, listener)


class Worker:
    """A place among the workers: the process that holds it, and when to start the next one."""

    def __init__(self, place: int) -> None:
        self.place = place
        self.process: subprocess.Popen[bytes] | None = None
        self.started = 0.0
        self.due = 0.0
        self._wait = FIRST_WAIT_SECONDS

    def ended(self) -> float:
        """Note that the process is gone; the seconds until the next one is started, more each time it is not steady."""
        now = time.monotonic()
        lived, self.process = now - self.started, None
        wait = 0.0 if lived >= STEADY_SECONDS else self._wait
        self._wait = FIRST_WAIT_SECONDS if lived >= STEADY_SECONDS else min(2 * self._wait, LONGEST_WAIT_SECONDS)
        self.due = now + wait
        return wait


class Supervisor:
    """Starts the workers, and starts those again that die.

    Args:
        count: how many.
        start: starts the worker of a place; `patient`: others answer already.
        forget: is told the place of a worker that is gone.
    """

    def __init__(
        self,
        count: int,
        start: Callable[..., subprocess.Popen[bytes]],
        forget: Callable[[int], None],
    ) -> None:
        self._workers = [Worker(place) for place in range(count)]
        self._start = start
        self._forget = forget
        self._first = True

    def run(self, signals: SimpleQueue[int], listener: socket.socket) -> None:
        """Watch until SIGTERM or SIGINT, then end all.

        Raises:
            RunFailed: the first workers cannot start.
        """
        try:
            while self._watch(_next_signal(signals, LOOK_SECONDS)):
                pass
        finally:
            # The queue of connections ends with the last worker's copy, and each takes what waits in it before.
            listener.close()
            self._end()

    def _watch(self, sign: int | None) -> bool:
        """Start what is due, and see who is gone; whether to go on."""
        if sign in (signal.SIGTERM, signal.SIGINT):
            return False
        for worker in self._workers:
            if worker.process is None and worker.due <= time.monotonic():
                worker.process, worker.started = self._start(worker.place, patient=not self._first), time.monotonic()
            elif worker.process is not None and worker.process.poll() is not None:
                self._lost(worker, worker.process)
            elif worker.process is not None and sign == signal.SIGHUP:
                _tell(worker.process, RELOAD)
        self._first = False
        return True

    def _lost(self, worker: Worker, process: subprocess.Popen[bytes]) -> None:
        _close(process)
        self._forget(worker.place)
        if process.returncode == CANNOT_START:
            raise RunFailed("the workers cannot start with these settings; the lines above say why")
        wait = worker.ended()
        log.error(
            "worker %d (process %d) %s; another is started%s",
            worker.place + 1,
            process.pid,
            _how(process.returncode),
            f" in {wait:.1f} s" if wait else "",
        )

    def _end(self) -> None:
        running = [worker.process for worker in self._workers if worker.process is not None]
        for process in running:
            process.terminate()
        deadline = time.monotonic() + KILL_SECONDS
        for process in running:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                log.error("process %d does not end; it is killed", process.pid)  # noqa: TRY400 - it says all
                process.kill()
                process.wait()
            _close(process)


def _start(orders: Orders) -> subprocess.Popen[bytes]:
    # -P: what lies in the working folder must not stand in for a module.
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "nextcart.serving.processes.worker"],
        stdin=subprocess.PIPE,
        pass_fds=[orders.listener],
    )
    _tell(process, orders.model_dump_json().encode() + b"\n")
    return process


def _tell(process: subprocess.Popen[bytes], text: bytes) -> None:
    if process.stdin is not None:
        # One that is gone is seen by its status.
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(text)
            process.stdin.flush()


def _close(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()


def _how(status: int) -> str:
    return f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"


def _next_signal(signals: SimpleQueue[int], seconds: float) -> int | None:
    with contextlib.suppress(Empty):
        return signals.get(timeout=seconds)
    return None


@contextlib.contextmanager
def _signals() -> Iterator[SimpleQueue[int]]:
    """The signals that this process gets, in a queue, instead of what they would do."""
    queue: SimpleQueue[int] = SimpleQueue()
    before = {sign: signal.signal(sign, lambda number, _: queue.put(number)) for sign in _SIGNALS}
    try:
        yield queue
    finally:
        for sign, handler in before.items():
            signal.signal(sign, handler)
