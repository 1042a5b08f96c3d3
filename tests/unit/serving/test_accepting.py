"""Which of several workers takes a connection."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from nextcart.serving.processes.accepting import Acceptor, Board

CONNECTIONS = 20


class Taker(asyncio.Protocol):
    """Of one worker: holds each connection that it gets."""

    def __init__(self, held: list[Taker]) -> None:
        held.append(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport


async def taken(board: Board, *can_answer: Callable[[], bool], after: Callable[[], None] | None = None) -> list[int]:
    """How many of 20 connections each worker took; ``after`` is called after half of them."""
    loop = asyncio.get_running_loop()
    held: list[list[Taker]] = [[] for _ in can_answer]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        # Each worker is a process of its own with a descriptor of its own.
        sockets = [listener.dup() for _ in can_answer]
        workers = [
            Acceptor(sockets[place], lambda place=place: Taker(held[place]), held[place], board, place, can)
            for place, can in enumerate(can_answer)
        ]
        clients = []
        for number in range(CONNECTIONS):
            if after is not None and number == CONNECTIONS // 2:
                after()
            for worker in workers:
                # As the server does ten times a second.
                worker.write_count()
            client = socket.socket()
            client.setblocking(False)
            await loop.sock_connect(client, listener.getsockname())
            clients.append(client)
            while sum(map(len, held)) <= number:
                await asyncio.sleep(0.001)
        for worker in workers:
            worker.close()
            await worker.settle()
        for each in [taker for worker in held for taker in worker]:
            each.transport.close()
        await asyncio.sleep(0)
        for closed in [*clients, *sockets]:
            closed.close()
    return [len(worker) for worker in held]


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board.create(tmp_path / "board", 2)


def test_workers_share_connections(board: Board) -> None:
    counts = asyncio.run(taken(board, lambda: True, lambda: True))
    assert counts == [CONNECTIONS // 2] * 2


def test_a_worker_that_cannot_answer_yet_leaves_connections_to_one_that_can(board: Board) -> None:
    assert asyncio.run(taken(board, lambda: False, lambda: True)) == [0, CONNECTIONS]


def test_where_none_can_answer_yet_all_say_so(board: Board) -> None:
    assert all(asyncio.run(taken(board, lambda: False, lambda: False)))


def test_a_worker_that_can_answer_at_last_has_its_share(board: Board) -> None:
    loaded: list[bool] = []
    counts = asyncio.run(taken(board, lambda: bool(loaded), lambda: True, after=lambda: loaded.append(True)))
    assert counts[0]
