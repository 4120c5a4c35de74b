"""Succession: one program among those that may lead the experiments of a store.

It stands by and looks; it leads and gives its sign, in a thread of its own: a round of large models
is folded for minutes, and who folds is alive.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

import structlog

from fedmq.claims import Lock
from fedmq.clocks import Clock
from fedmq.errors import LeaseLost, StorageError
from fedmq.orchestrator.lease import LEASE_S, RENEW_S, Sign, Verdict, Watched, decide
from fedmq.orchestrator.signs import Signs

FORGET_LEASES: Final = 20
"""A stand-by without a sign for so many leases is forgotten."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """This program, as others know it."""

    name: str
    """Unlike that of any other program that there ever was."""
    words: str
    machine: str


@dataclass(slots=True)
class _StandBys:
    """Who stands by, as the one that leads sees it."""

    watched: dict[str, Watched] = field(default_factory=dict)
    num_fresh: int = 0


class Succession:
    """The part of one program in who leads."""

    def __init__(
        self,
        *,
        program: Program,
        lock: Lock,
        signs: Signs,
        clock: Clock,
        lease_s: float = LEASE_S,
        renew_s: float = RENEW_S,
    ) -> None:
        self.program = program
        self._lock = lock
        self._signs = signs
        self._clock = clock
        self._lease_s = lease_s
        self._renew_s = renew_s
        self._watched = Watched(signs.leader(), clock.steady())
        self._number = 0
        self._stand_bys = _StandBys()

    @property
    def leader(self) -> str:
        """Who leads, for people, by the newest sign."""
        sign = self._watched.sign
        return "another program" if sign is None else sign.words

    def look(self) -> Verdict:
        """Return whether this program may lead now.

        Raises:
            StorageError: the disk refuses.
        """
        now = self._clock.steady()
        self._watched = self._watched.seen(self._signs.leader(), now=now)
        verdict = decide(
            self._watched,
            has_lock=self._lock.try_take(),
            machine=self.program.machine,
            now=now,
            lease_s=self._lease_s,
        )
        if verdict is not Verdict.LEAD:
            # Kept, it would tell the others that who leads is dead.
            self._lock.release()
        return verdict

    def stand_by(self) -> None:
        """Give a sign that this program stands by.

        Raises:
            StorageError: the disk refuses.
        """
        self._signs.stand_by(self._sign())

    def leave(self) -> None:
        """Stand by no more; on a disk that refuses, the last sign grows old."""
        with suppress(StorageError):
            self._signs.leave(self.program.name)

    @contextmanager
    def leading(self) -> Iterator[None]:
        """Give the sign of who leads for a while; the last one says that it ended by itself.

        Raises:
            StorageError: the disk refuses the first sign.
        """
        self.leave()
        self._signs.lead(self._sign())
        is_over = threading.Event()
        keeper = threading.Thread(target=self._keep, args=(is_over,), daemon=True)
        keeper.start()
        has_ended = False
        try:
            yield
            has_ended = True
        finally:
            is_over.set()
            keeper.join()
            with suppress(StorageError):
                if has_ended and self._is_led_here():
                    self._signs.lead(self._sign(has_ended=True))
            self._lock.release()
            self._watched = Watched(self._signs.leader(), self._clock.steady())

    def require(self) -> None:
        """Return if nobody else has given the sign of who leads since.

        Raises:
            LeaseLost: somebody has.
        """
        if not self._is_led_here():
            raise LeaseLost("another program has begun to lead the experiments")

    def count_stand_bys(self) -> int:
        """Return how many programs stand by, as it was a moment ago."""
        return self._stand_bys.num_fresh

    def renew(self) -> None:
        """Give the sign of who leads once more, unless somebody else does; look who stands by.

        Raises:
            StorageError: the disk refuses.
        """
        if self._is_led_here():
            self._lock.try_take()  # a sleeping program may have had it until now
            self._signs.lead(self._sign())
        now = self._clock.steady()
        known, found = self._stand_bys.watched, self._signs.stand_bys()
        watched = {
            name: known.get(name, Watched(None, now)).seen(sign, now=now)
            for name, sign in found.items()
        }
        for name, one in watched.items():
            if not one.is_fresh(now=now, lease_s=FORGET_LEASES * self._lease_s):
                self._signs.leave(name)
        fresh = [one for one in watched.values() if one.is_fresh(now=now, lease_s=self._lease_s)]
        self._stand_bys = _StandBys(watched, len(fresh))

    def _keep(self, is_over: threading.Event) -> None:
        has_failed = False
        while not is_over.wait(self._renew_s):
            try:
                self.renew()
            except StorageError as error:
                if not has_failed:
                    log.warning("lease_not_renewed", reason=str(error))
                has_failed = True
            else:
                has_failed = False

    def _is_led_here(self) -> bool:
        sign = self._signs.leader()
        return sign is None or sign.program == self.program.name

    def _sign(self, *, has_ended: bool = False) -> Sign:
        self._number += 1
        return Sign(
            program=self.program.name,
            words=self.program.words,
            machine=self.program.machine,
            number=self._number,
            at=self._clock.now(),
            has_lock=self._lock.is_mine,
            has_ended=has_ended,
        )
