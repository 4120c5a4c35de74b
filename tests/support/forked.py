"""Commands of fedmq, each a process of its own, forked from one that has imported their modules.

To import them takes a processor five times as long as all the rest of most commands, and the tests
of the whole run a thousand commands. What is forked then runs `python -m fedmq`: with arguments,
environment, folder and files of its own, and to its natural end.
"""

import gc
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Final

_PRELOADED: Final = (
    "fedmq.cli.approval_words",
    "fedmq.cli.expiry",
    "fedmq.cli.joining",
    "fedmq.cli.main",
    "fedmq.hub.lifecycle",
    "fedmq.imaging.checks",
    "fedmq.monitor.status",
    "fedmq.node.records",
    "fedmq.orchestrator.service",
    "fedmq.researcher.client",
    "fedmq.settings",
)
_MAX_BYTES: Final = 100_000
"""Of a command's words and environment."""
_ROOT: Final = Path(__file__).parents[2]
_STARTING: Final = Lock()


def run_forked(
    arguments: Sequence[str], *, folder: Path, environment: Mapping[str, str], patience_s: float
) -> subprocess.CompletedProcess[str]:
    """Return how `fedmq ARGUMENTS` ends in a folder, as `subprocess.run` would."""
    asked = json.dumps([list(arguments), str(folder), dict(environment)]).encode()
    with _STARTING:
        parent = _parent()
    mine, theirs = socket.socketpair()
    with mine, theirs, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        files = [theirs.fileno(), out.fileno(), err.fileno()]
        socket.send_fds(parent.asked, [asked], files)
        theirs.close()
        with mine.makefile("r") as answers:
            pid = int(answers.readline())
            mine.settimeout(patience_s)
            try:
                code = int(answers.readline())
            except TimeoutError:
                os.kill(pid, signal.SIGKILL)
                raise
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(
            arguments, code, out.read().decode(), err.read().decode()
        )


def run_alone(
    command: Sequence[str], *, folder: Path, environment: Mapping[str, str], patience_s: float
) -> subprocess.CompletedProcess[str]:
    """Return how a command ends that begins as users begin it."""
    return subprocess.run(  # noqa: S603 - the product's own command line
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=patience_s,
        check=False,
    )


@dataclass(frozen=True, slots=True)
class _Parent:
    """Who forks; it ends when this process does."""

    process: subprocess.Popen[bytes]
    asked: socket.socket


@cache
def _parent() -> _Parent:
    asked, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(  # noqa: S603 - this module
            [sys.executable, "-m", __name__, str(theirs.fileno())],
            cwd=_ROOT,
            # Who forks has to be one thread.
            env=os.environ | {"LANG": "C.UTF-8", "OPENBLAS_NUM_THREADS": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
        )
    return _Parent(process, asked)


def _become_command(asked: socket.socket) -> list[str]:
    """Return the arguments of the next command, in the process that is to run it."""
    while True:
        message, files, _, _ = socket.recv_fds(asked, _MAX_BYTES, 3)
        if not message:
            os._exit(0)
        if os.fork() == 0:
            break
        for file in files:
            os.close(file)
    asked.close()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    answer, out, err = files
    if pid := os.fork():
        os.write(answer, f"{pid}\n".encode())
        _, status = os.waitpid(pid, 0)
        with suppress(BrokenPipeError):  # it took too long, and nobody waits any more
            os.write(answer, f"{os.waitstatus_to_exitcode(status)}\n".encode())
        os._exit(0)
    os.dup2(out, 1)
    os.dup2(err, 2)
    for file in files:
        os.close(file)
    arguments, folder, environment = json.loads(message)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    return [str(one) for one in arguments]


if __name__ == "__main__":
    for module in _PRELOADED:
        importlib.import_module(module)
    gc.freeze()  # else what ends looks through all of it
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who wait
    sys.argv[1:] = _become_command(socket.socket(fileno=int(sys.argv[1])))
    runpy.run_module("fedmq", run_name="__main__", alter_sys=True)
