"""Greetings: after every break a node asks each orchestrator for a word behind all that waits.

One that comes into the roster between breaks is asked then.

What is no longer wanted, a stop, newer work, is known then before anything is begun; and the hour
of who gives orders, by which they expire.
"""

from collections.abc import Callable, Sequence
from typing import Final

from fedmq.clocks import Clock

SETTLE_S: Final = 5.0
"""So long a node that is back waits for orchestrators' words before it begins new work."""


class Greetings:
    """Which orchestrators have answered since the last break."""

    def __init__(
        self,
        clock: Clock,
        *,
        orchestrators: Callable[[], Sequence[str]],
        say: Callable[[str, str], None],
    ) -> None:
        """`say` says a nonce to an orchestrator."""
        self._clock = clock
        self._orchestrators = orchestrators
        self._say = say
        self._num_nonces = 0
        self._asked: dict[str, str] = {}
        """The nonce of the newest question, by whom it was put to."""
        self._asked_again: set[str] = set()
        self._welcomed: set[str] = set()
        self._listed = frozenset(orchestrators())
        self._settled_at = clock.steady() + SETTLE_S

    def greet(self) -> None:
        """Ask everybody: there is a new connection."""
        self._welcomed.clear()
        self._asked.clear()
        self._asked_again.clear()
        self._listed = frozenset(self._orchestrators())
        self._ask(self._orchestrators())

    def review(self) -> None:
        """Ask who is new in the roster: what it sent before it was known comes again by that."""
        listed = frozenset(self._orchestrators())
        newcomers, self._listed = listed - self._listed, listed
        if newcomers:
            self._ask(sorted(newcomers))

    def repeat(self) -> None:
        """Say all of it again, since something in it has changed; no work waits for the answers."""
        nonce = self._next_nonce()
        for name in self._orchestrators():
            self._say(nonce, name)

    def heard(self, name: str) -> None:
        """Ask who speaks and has not answered, though there was time: greeting or answer was lost.

        Else its orders would expire by this machine's own clock for as long as the line holds. Once
        on each connection: one that speaks and never answers is not to hold up the others' work.
        """
        is_missing = name not in self._welcomed and name in self._orchestrators()
        if self.is_settled and is_missing and name not in self._asked_again:
            self._asked_again.add(name)
            self._ask([name])

    def answered(self, nonce: str, *, by: str) -> None:
        """Note that the queue is read up to an orchestrator's answer."""
        if nonce == self._asked.get(by):
            self._welcomed.add(by)

    def is_welcome(self, orchestrator: str) -> bool:
        """Return whether an orchestrator has answered: what it sent before was read."""
        return orchestrator in self._welcomed

    @property
    def is_settled(self) -> bool:
        """Whether everybody who was asked has answered, or no answer comes."""
        is_late = self._clock.steady() >= self._settled_at
        return is_late or (bool(self._asked) and self._welcomed.issuperset(self._asked))

    def _ask(self, orchestrators: Sequence[str]) -> None:
        self._settled_at = self._clock.steady() + SETTLE_S
        nonce = self._next_nonce()
        for name in orchestrators:
            self._asked[name] = nonce
            self._say(nonce, name)

    def _next_nonce(self) -> str:
        self._num_nonces += 1
        return f"{int(self._clock.now() * 1000)}.{self._num_nonces}"
