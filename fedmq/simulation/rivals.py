"""Rivals: a program that was replaced in the middle of something, and does not know it yet."""

from collections.abc import Callable
from typing import Final

from fedmq.errors import StorageError
from fedmq.simulation.faults import Fault
from fedmq.simulation.machines import Killed, Machine, Outside, Program
from fedmq.simulation.transport import FaultyTransport

_NOT_THERE: Final = frozenset({"synced", "committed", "write", "rename", "remove", "link"})
"""After a step nothing lasting follows before the next one; and before it changes a file, a program
looks whether it leads, in the same moment."""


class RivalMachine(Machine):
    """A disk that two programs see: one that leads, and now and then one that led before."""

    def __init__(self, name: str, outside: Outside, *, began_at: float) -> None:
        self._rival: tuple[FaultyTransport, Program] | None = None
        self._is_rival_acting = False
        super().__init__(name, outside, began_at=began_at)

    def tick(self) -> None:
        """Let both programs know that time has gone by."""
        if self._rival is not None:
            self._attempt_as_rival(self._rival[1].tick)
        super().tick()

    def step(self, word: str) -> None:
        """Stand before something that is to last; here programs are killed, or replaced."""
        super().step(word)
        transport, program = self._transport, self.program
        if word in _NOT_THERE or self._is_rival_acting or self.home.is_writing:
            return
        if transport is None or program is None:
            return
        if self.outside.misfortune.happens(Fault.TAKE_OVER):
            self._replace(transport, program)

    def _replace(self, transport: FaultyTransport, program: Program) -> None:
        """Begin another life beside this one, which goes on where it stands."""
        self._drop_rival()
        self._rival = (transport, program)
        self._transport, self.program = None, None
        self.live()
        if self._rival != (transport, program):
            raise Killed  # the next life ended, and its machine with it

    def _program_of(self, transport: FaultyTransport) -> Program | None:
        if self._rival is not None and transport is self._rival[0]:
            return None
        return super()._program_of(transport)

    def _attempt(self, act: Callable[[], None]) -> None:
        life = self.num_lives

        def attempt() -> None:
            try:
                act()
            except (Killed, StorageError):
                # Of who was replaced any fault of the disk is one: files are gone that it had.
                if life == self.num_lives:
                    raise
                self._drop_rival()

        super()._attempt(attempt)

    def _attempt_as_rival(self, act: Callable[[], None]) -> None:
        self._is_rival_acting = True
        try:
            act()
        except (Killed, StorageError):
            self._drop_rival()
        finally:
            self._is_rival_acting = False

    def _let_go(self) -> None:
        self._drop_rival()
        super()._let_go()

    def _drop_rival(self) -> None:
        rival, self._rival = self._rival, None
        if rival is not None:
            rival[0].close()
