"""One trainer process and its threads: lines go in, lines come out, its end is told once.

Linux kills the trainer when the *thread* that started it ends (PR_SET_PDEATHSIG), so it is started
by the thread that then waits for it.
"""

import contextlib
import math
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import fedmq
from fedmq.containment.cell import OUTPUTS, SCRATCH, Cell, Limits, Means
from fedmq.learning.trainer_protocol import MAX_LINE_BYTES
from fedmq.messages.replies import FailureCode
from fedmq.node.capped_log import CappedLog
from fedmq.node.cells import make_cell, remove_folder
from fedmq.node.containment import SCRATCH_PREFIX
from fedmq.node.footprint import KEPT_MARGIN_BYTES, deleted_bytes, disk_bytes, members, memory_bytes

_READ_BYTES: Final = 64 * 1024
_DEATH_S: Final = 10.0
"""How long to wait for the kernel to end a killed process."""
_POLITE_S: Final = 5.0
"""How long a trainer's keeper has to see all of them out."""
_WATCH_S: Final = 0.25
_LAST_WORDS_S: Final = 5.0
"""How long to read what an ended process left in its pipes, where another keeps them open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What a trainer was ended for."""

    code: FailureCode
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What a trainer is started with; one that is warm serves jobs that need the same."""

    num_threads: int
    readable: tuple[Path, ...]
    means: frozenset[Means]
    limits: Limits
    kept: Path | None = None
    """The folder of prepared cases, where there is one."""


_LATE: Final = Fault(
    code=FailureCode.TRAINING_ERROR, what="it took longer than a task may (FEDMQ_TASK_TIMEOUT_S)"
)
_LEFTOVERS: Final = Fault(
    code=FailureCode.TRAINING_ERROR, what="processes of a job before were still there"
)
_UNKNOWN: Final = Fault(
    code=FailureCode.TRAINING_ERROR, what="it could not be seen how much it uses"
)
_TOO_LARGE: Final = Fault(
    code=FailureCode.TRAINING_ERROR,
    what="its files are larger than they may be (FEDMQ_TASK_SCRATCH_MB)",
)
_TOO_MUCH_KEPT: Final = Fault(
    code=FailureCode.TRAINING_ERROR,
    what="what it keeps of cases is larger than it may be (FEDMQ_CASE_CACHE_MB)",
)
_TOO_MUCH_MEMORY: Final = Fault(
    code=FailureCode.OUT_OF_MEMORY, what="it held more memory than it may (FEDMQ_TASK_MEMORY_MB)"
)


def trainer_command(cell_file: Path) -> tuple[str, ...]:
    """Return the command of a trainer that belongs to this process.

    -P and -s: the scratch folder, which a plan may write, is no place to import from.
    """
    module = "fedmq.learning.contained_trainer"
    return (sys.executable, "-P", "-s", "-u", "-m", module, str(cell_file), str(os.getpid()))


def trainer_environment(scratch: Path, num_threads: int) -> dict[str, str]:
    """Return all that a trainer knows of its surroundings: no FEDMQ_ setting, no login."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(scratch),
        "TMPDIR": str(scratch),
        "USER": "trainer",  # libraries ask who it is, and a cell has no table of users
        "LOGNAME": "trainer",
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(Path(fedmq.__file__).parent.parent),
        "PYTHONHASHSEED": "0",  # sets have one order, so that equal tasks give equal bytes
        "OMP_NUM_THREADS": str(num_threads),
        "MKL_NUM_THREADS": str(num_threads),
        "OPENBLAS_NUM_THREADS": str(num_threads),
        # The number is part of the task: no library takes fewer when the machine is busy.
        "OMP_DYNAMIC": "FALSE",
        "MKL_DYNAMIC": "FALSE",
        # Threads that wait for the others sleep: spinning, they would hold a processor that another
        # node's need (docs/adr/0023-training-speed.md).
        "OMP_WAIT_POLICY": "PASSIVE",
    }


class TrainerProcess:
    """A process in a session and a scratch folder of its own, both gone when it has ended."""

    def __init__(  # noqa: PLR0913 - what it is given, and whom it tells
        self,
        needs: Needs,
        *,
        folder: Path,
        command: Sequence[str] | None,
        log: CappedLog,
        on_words: Callable[["TrainerProcess", bytes], None],
        on_line: Callable[["TrainerProcess", bytes], None],
        on_end: Callable[["TrainerProcess"], None],
    ) -> None:
        """Start it; `command` stands in for its own, in tests."""
        self.folder: Path | None = None
        """Its own, None where none could be made."""
        self.fault: Fault | None = None
        """Why it was ended for what it did, where it was."""
        self._needs = needs
        self._command = command
        self._place = folder
        self._deadline = math.inf
        self._output_bytes = 0
        self._kept_bytes = 0
        self._bounds = threading.Lock()
        self._turn = 0
        """Counts its jobs: what was measured in one is not held against the next."""
        self._log = log
        self._on_words = on_words
        self._on_line = on_line
        self._on_end = on_end
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._started = threading.Event()
        self._ended = threading.Event()
        self._is_unwanted = False
        threading.Thread(target=self._attend, name="trainer", daemon=True).start()
        self._started.wait()

    @property
    def pid(self) -> int | None:
        """The process id, None where the machine could not start it."""
        return self._process.pid if self._process else None

    @property
    def has_ended(self) -> bool:
        """Whether the process is gone."""
        return self._ended.is_set()

    @property
    def was_killed_from_outside(self) -> bool:
        """Whether neither `kill` nor itself ended it: as a rule the kernel, for want of memory."""
        was_killed = self._process is not None and self._process.returncode == -signal.SIGKILL
        return was_killed and not self._is_unwanted

    def send(self, line: bytes) -> None:
        """Hand `line` to the process; where that is gone, `on_end` says so."""
        if self._process and self._process.stdin:
            with contextlib.suppress(OSError, ValueError):  # its reader is gone; closed meanwhile
                self._process.stdin.write(line)
                self._process.stdin.flush()

    def allow(
        self, *, seconds: float, output_bytes: int = 0, kept_bytes: int | None = None
    ) -> bool:
        """Have the process ended after so many seconds, or with more output or kept than that.

        What may be kept stays as it was unless it is given.

        Return whether it can be used: it may just be ending for what its last job has left.
        """
        with self._bounds:
            self._turn += 1
            self._deadline = time.monotonic() + seconds
            self._output_bytes = output_bytes
            self._kept_bytes = self._kept_bytes if kept_bytes is None else kept_bytes
            return self.fault is None

    def is_clean(self) -> bool:
        """Return whether the job that it has answered left nothing: no process, no excess.

        One that is not goes on with what it likes when nobody waits for it.
        """
        return self._excess(is_idle=True) is None

    def kill(self) -> None:
        """End the process with all of its group, and return when it is gone."""
        self._is_unwanted = True
        if self._has_keeper:  # which is gone when all are that it keeps
            self._signal(os.kill, signal.SIGTERM)
            self._ended.wait(_POLITE_S)
        self._kill_group()
        self._ended.wait(_DEATH_S)

    @property
    def _has_keeper(self) -> bool:
        return self._command is None and Means.NAMESPACES in self._needs.means

    def _kill_group(self) -> None:
        self._signal(os.killpg, signal.SIGKILL)

    def _signal(self, send: Callable[[int, int], None], number: signal.Signals) -> None:
        with self._lock:
            # Until it is reaped, under this lock, its number belongs to no other process.
            if self._process and self._process.returncode is None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    send(self._process.pid, number)

    def _attend(self) -> None:
        """Start the process, stay until it has ended, clear up after it, tell of its end."""
        try:
            self.folder = Path(tempfile.mkdtemp(prefix=SCRATCH_PREFIX, dir=self._place))
            self._process = self._start(self.folder)
        except OSError as error:
            self._log.write(f"-- the trainer could not be started: {error.strerror}\n".encode())
            self._ended.set()
            self._started.set()
        else:
            self._started.set()
            threading.Thread(target=self._watch, name="watch", daemon=True).start()
            self._read_until_end(self._process)
        if self.folder is not None:
            remove_folder(self.folder)
        if self.fault is _TOO_MUCH_KEPT and self._needs.kept is not None:
            remove_folder(self._needs.kept)
        self._on_end(self)

    def _start(self, folder: Path) -> subprocess.Popen[bytes]:
        needs = self._needs
        cell = Cell(
            folder=folder,
            readable=needs.readable,
            means=needs.means,
            limits=needs.limits,
            kept=needs.kept,
        )
        cell_file = make_cell(cell)
        return subprocess.Popen(  # noqa: S603 - the command is ours
            self._command or trainer_command(cell_file),
            cwd=folder / SCRATCH,
            env=trainer_environment(folder / SCRATCH, needs.num_threads),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def _watch(self) -> None:
        """End the process when its time is over, or it has too much of something."""
        while not self._ended.wait(_WATCH_S):
            turn, is_idle = self._turn, self._turn > 0 and self._deadline == math.inf
            is_late = time.monotonic() > self._deadline
            # After the time: files may be many, and looking at them takes its own.
            excess = None if is_late else self._excess(is_idle=is_idle)
            with self._bounds:
                if turn != self._turn:
                    continue  # what was measured is of the job before
                self.fault = _LATE if is_late else excess
            if self.fault is not None:
                self._log.write(f"-- the trainer was ended: {self.fault.what}\n".encode())
                self.kill()
                return

    def _excess(self, *, is_idle: bool) -> Fault | None:
        """Return what it has too much of, None if of nothing; who cannot be watched is ended."""
        try:
            return self._look(is_idle=is_idle)
        except Exception as error:  # noqa: BLE001 - what a plan shows may be anything
            self._log.write(f"-- what the trainer uses is not known: {error!r}\n".encode())
            return _UNKNOWN

    def _look(self, *, is_idle: bool) -> Fault | None:
        limits = self._needs.limits
        pids = () if self.pid is None else members(self.pid)
        if is_idle and len(pids) > (2 if self._has_keeper else 1):
            return _LEFTOVERS
        if self.folder is not None:
            size = sum(disk_bytes(self.folder / name) for name in (SCRATCH, OUTPUTS))
            size += deleted_bytes(pids, self.folder)
            if size > limits.scratch_bytes + self._output_bytes:
                return _TOO_LARGE
        kept = self._needs.kept
        if kept is not None:
            size = disk_bytes(kept) + deleted_bytes(pids, kept)
            if size > self._kept_bytes + KEPT_MARGIN_BYTES:
                return _TOO_MUCH_KEPT
        most = limits.memory_bytes
        if most is not None and memory_bytes(pids, limit=most) > most:
            return _TOO_MUCH_MEMORY
        return None

    def _read_until_end(self, process: subprocess.Popen[bytes]) -> None:
        readers = [
            threading.Thread(target=self._read_lines, args=(process.stdout,), daemon=True),
            threading.Thread(target=self._read_log, args=(process.stderr,), daemon=True),
        ]
        for reader in readers:
            reader.start()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        self._kill_group()  # what it has started and left behind
        with self._lock:
            process.wait()
        self._ended.set()
        # A process that left the group may hold the pipes open; its words are not waited for.
        deadline = time.monotonic() + _LAST_WORDS_S
        for reader in readers:
            reader.join(max(0.0, deadline - time.monotonic()))
        if process.stdin:
            with contextlib.suppress(OSError):
                process.stdin.close()

    def _read_lines(self, pipe: IO[bytes]) -> None:
        with pipe:
            while line := pipe.readline(MAX_LINE_BYTES + 1):
                self._on_line(self, line)

    def _read_log(self, pipe: IO[bytes]) -> None:
        with pipe:
            while words := os.read(pipe.fileno(), _READ_BYTES):
                self._on_words(self, words)
