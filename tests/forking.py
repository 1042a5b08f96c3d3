"""Commands in forks of one process that has made the imports of all: these are most of what a short command costs.

A command has a process, an environment, a working folder and an exit code of its own, but shares the seed of hashes
with the others. What must hold from the first import on is tested by starting an interpreter.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NoReturn

IMPORTED = (
    "altair",
    "faiss",
    "lightgbm",
    "nextcart.cli.figures",
    "nextcart.cli.main",
    "nextcart.cli.tables",
    "nextcart.config",
    "nextcart.events.engine",
    "nextcart.pipeline.steps",
    "pandas",  # by pyarrow, where it is installed
    "rich.progress",
)
ROOT = Path(__file__).resolve().parents[1]
MOST_BYTES = 1 << 20


def run(
    arguments: list[str], cwd: Path, environment: Mapping[str, str], seconds: float
) -> subprocess.CompletedProcess[str]:
    """What a command said, and how it ended; it is killed when `seconds` are over."""
    asked = json.dumps([arguments, str(cwd), dict(environment), seconds]).encode()
    # Files in memory: the disk may be what a test has filled.
    with os.fdopen(os.memfd_create("stdout"), "rb") as out, os.fdopen(os.memfd_create("stderr"), "rb") as err:
        commands = _started()
        socket.send_fds(commands, [asked], [out.fileno(), err.fileno()])
        answered = commands.recv(MOST_BYTES)
        assert answered, "the process that forks has ended"
        texts = []
        for said in (out, err):
            said.seek(0)
            texts.append(said.read().decode())
    return subprocess.CompletedProcess(["nextcart", *arguments], int(answered), *texts)


@cache
def _started() -> socket.socket:
    """The way to a process that waits for commands; it ends with this one."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    code = f"from tests.forking import wait_for_commands; wait_for_commands({its.fileno()})"
    env = os.environ | {"PYTHONWARNINGS": "error"}
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=env, pass_fds=[its.fileno()], **quiet)
    its.close()
    atexit.register(lambda: (ours.close(), process.wait()))
    return ours


def wait_for_commands(fd: int) -> None:
    """Fork for each command that comes, one after the other."""
    from numba.core.registry import cpu_target

    for name in IMPORTED:
        importlib.import_module(name)
    # Imports what numba would with the first kernel.
    cpu_target.target_context.refresh()
    # Forks share the pages of what is never collected.
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=fd) as asking:
        while True:
            text, fds, _, _ = socket.recv_fds(asking, MOST_BYTES, 2)
            if not text:
                os._exit(0)
            arguments, cwd, environment, seconds = json.loads(text)
            pid = os.fork()
            if pid == 0:
                asking.close()
                _become(arguments, cwd, environment, fds)
            for each in fds:
                os.close(each)
            asking.send(str(_exit_code(pid, seconds)).encode())


def _exit_code(pid: int, seconds: float) -> int:
    ended = os.pidfd_open(pid)
    if not select.select([ended], [], [], seconds)[0]:
        os.kill(pid, signal.SIGKILL)
    os.close(ended)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _become(arguments: list[str], cwd: str, environment: dict[str, str], fds: list[int]) -> NoReturn:
    """Be the command, to its end."""
    from nextcart.cli.main import main

    for fd, to in zip(fds, (1, 2), strict=True):
        os.dup2(fd, to)
        os.close(fd)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    sys.argv = ["nextcart", *arguments]
    code: object = 0
    try:
        main()
    except SystemExit as left:
        code = left.code
    except BaseException:  # noqa: BLE001 - as the interpreter does
        traceback.print_exc()
        code = 1
    # What the interpreter does at its end, but for taking apart what it holds.
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))
