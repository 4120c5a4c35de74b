"""An orchestrator's turn: it stands by until it may lead, and leads until another one does."""

import os
import platform
import secrets
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import structlog

from fedmq.claims import Lock
from fedmq.cli.console import say
from fedmq.clocks import Clock
from fedmq.errors import ConfigurationError, DiskFull, LeaseLost, StorageError
from fedmq.orchestrator.lease import RENEW_S, Verdict
from fedmq.orchestrator.signs import Signs
from fedmq.orchestrator.succession import Program, Succession
from fedmq.transport.home import LocalHome
from fedmq.transport.lives import Lives

_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
_STAND_BY: Final = "let it wait for its turn: fedmq orchestrator start --stand-by"

log = structlog.get_logger()


class Turns:
    """The turns of one program, until it is stopped."""

    def __init__(
        self,
        folder: Path,
        *,
        clock: Clock,
        lease_s: float,
        stands_by: bool,
        options: str,
        make_lives: Callable[[Succession], Lives],
    ) -> None:
        """`stands_by`: it waits where another one leads; else that is an error.

        `options` are those by which a command speaks of this orchestrator.

        Raises:
            StorageError: the folder cannot be used.
        """
        self._folder = folder
        self._lock = Lock(folder)
        self._stands_by = stands_by
        self._to_stand_by = f"{_STAND_BY}{options}"
        self._make_lives = make_lives
        self._clock = clock
        self._lease_s = lease_s
        self._lives: Lives | None = None
        self._is_stopping = threading.Event()

    def stop(self) -> None:
        """End `run` soon; may be called from a signal handler."""
        self._is_stopping.set()
        if self._lives is not None:
            self._lives.stop()

    def run(self) -> None:
        """Lead when it is this program's turn, until stopped.

        Raises:
            ConfigurationError: another program leads, and this one was not to stand by.
            LeaseLost: another program has taken over, and this one was not to stand by.
            StorageError: the disk refuses.
        """
        if not (self._stands_by or self._lock.try_take()):
            raise self._lock.taken_error("an orchestrator", otherwise=f"; or {self._to_stand_by}")
        succession = Succession(
            program=this_program(),
            lock=self._lock,
            signs=Signs(LocalHome(self._folder)),
            clock=self._clock,
            lease_s=self._lease_s,
        )
        try:
            while self._await_turn(succession):
                self._lead(succession)
        finally:
            succession.leave()
            self._lock.close()

    def _await_turn(self, succession: Succession) -> bool:
        """Return once this program may lead; False: it was stopped before."""
        has_told = False
        while not self._is_stopping.is_set():
            verdict = succession.look()
            if verdict is Verdict.LEAD:
                return True
            if self._stands_by:
                self._show(succession)
            elif verdict is Verdict.LED:
                raise ConfigurationError(
                    f"the experiments in {self._folder} have an orchestrator already",
                    why=f"the {succession.leader} leads them, and gave a sign a moment ago",
                    fix=f"end that one, or {self._to_stand_by}",
                )
            if not has_told:
                has_told = True
                self._tell(succession)
            self._is_stopping.wait(RENEW_S)
        return False

    def _tell(self, succession: Succession) -> None:
        if self._stands_by:
            log.info("stands_by", reason=f"the {succession.leader} leads the experiments")
        else:
            say(
                f"the {succession.leader} led here last; it is waited {self._lease_s:.0f} s"
                " for another sign of it"
            )

    def _show(self, succession: Succession) -> None:
        with suppress(DiskFull):  # who leads says so
            succession.stand_by()

    def _lead(self, succession: Succession) -> None:
        try:
            with succession.leading():
                self._lives = self._make_lives(succession)
                if self._is_stopping.is_set():
                    return
                log.info("leads", reason=f"the {succession.program.words}")
                self._lives.run()
        except LeaseLost as error:
            if not self._stands_by:
                raise
            log.warning("lease_lost", reason=str(error))
            say(f"this orchestrator leads no more, and stands by: {error}")
        except StorageError as error:
            if not self._stands_by:
                raise
            log.warning("could_not_lead", reason=str(error))
            self._is_stopping.wait(self._lease_s)
        finally:
            self._lives = None


def this_program() -> Program:
    """Return this process as others know it."""
    try:
        machine = _BOOT.read_text().strip()
    except OSError:
        machine = secrets.token_hex(8)  # no lock of an earlier process counts
    return Program(
        name=secrets.token_hex(8),
        words=f"process {os.getpid()} on {platform.node() or 'this machine'}",
        machine=machine,
    )
