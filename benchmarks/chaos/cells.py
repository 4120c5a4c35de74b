"""Cells: somebody is killed before and after every durable step of every program.

Which steps there are, an undisturbed run says. A program is ordered to die at the first that it
comes to of those that are left, or to stand still there while another one is killed. Who was
killed is started again at once, and when it is back another program has its turn. Steps that only
a program comes to that was killed are added when they are seen.
"""

import signal
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from random import Random
from typing import Final

from benchmarks.chaos.broker import Broker
from benchmarks.chaos.members import Member
from benchmarks.chaos.phases import kind_of
from benchmarks.chaos.recovery import Fall, Falls, Lost
from benchmarks.chaos.stage import PATIENCE_S, Stage
from benchmarks.chaos.steps import Order, Side

_LOOK_S: Final = 0.02
_TURN: Final = 2
"""A program that comes to none of its cells while so many experiments end lets another one have
its turn. Steps are counted from its beginning, so that one experiment has to be whole."""
_IDLE: Final = 8
"""So many experiments in a row without a kill show that what is left is not come to."""


def cells_of(steps: Mapping[str, int]) -> Iterator[Order]:
    """Yield both sides of the first of each step, and of one in the middle where it is repeated."""
    for step, count in steps.items():
        for number in sorted({1, count // 2 + 1}):
            for side in Side:
                yield Order(step=step, number=number, side=side)


class Victim:
    """One program and its cells, or a share of them that is drawn."""

    def __init__(
        self, member: Member, steps: Mapping[str, int], random: Random, *, share: float
    ) -> None:
        self.member = member
        self._random = random
        self._share = share
        self.left = self._draw(cells_of(steps))
        """Of steps that every run comes to."""
        self.done: list[Order] = []
        self.added: set[Order] = set()
        """Of steps that were seen since, and are not done."""
        self._known = set(steps)

    @property
    def num_steps(self) -> int:
        """How many names its steps have, those that were added too."""
        return len(self._known)

    def look_for_more(self) -> None:
        """Add the cells of steps that no undisturbed run has."""
        for step in set(self.member.steps) - self._known:
            self._known.add(step)
            self.added |= self._draw(cells_of({step: 1}))

    def take(self, order: Order) -> None:
        """Note that a cell is done."""
        self.left.discard(order)
        self.added.discard(order)
        self.done.append(order)

    def _draw(self, orders: Iterable[Order]) -> set[Order]:
        return {order for order in orders if self._random.random() < self._share}


class Sweep:
    """Lets a federation run experiments, and goes through the cells of its programs."""

    def __init__(self, stage: Stage, victims: tuple[Victim, ...], *, killed: str) -> None:
        self.falls = Falls()
        self.victims = victims
        self._killed = killed
        """The kind of who is killed at the steps; empty: who takes them."""
        self._stage = stage
        self._victim = victims[0]
        self._turn_from = 0
        self._fall: Fall | None = None
        self._idle_experiments = 0

    def run(self) -> None:
        """Return once no cell is left that is come to, and the experiments are over.

        Raises:
            Lost: somebody did not come back, or a model is another.
        """
        self._stage.begin_experiment()
        self._give_turn()
        while not self._is_quiet:
            self._stage.look()
            self.falls.look()
            if self._is_over:
                self._victim.member.notes.withdraw()
            self._strike()
            self._go_on()
            self._lead_researcher()
            time.sleep(_LOOK_S)

    @property
    def _is_over(self) -> bool:
        is_all = not any(victim.left or victim.added for victim in self.victims)
        return is_all or self._idle_experiments >= _IDLE

    @property
    def _is_quiet(self) -> bool:
        """Whether the last experiment is over, and everybody is back and has no order."""
        is_back = all(one.is_running for one in self._stage.services) and not self.falls.is_open
        return self._is_over and self._stage.researcher.is_idle and is_back

    def _strike(self) -> None:
        """Kill who is to die, where the program whose turn it is has come to a cell."""
        victim = self._victim
        obeyed = victim.member.notes.take_obeyed()
        if obeyed is None:
            return
        at, order = obeyed
        who = self._who_dies
        if who is victim.member:
            victim.member.program.wait()
        else:
            victim.member.wait_until_still()
            if not self._kill_beside(who):
                self._give_turn()
                return
        self._fall = Fall(who=who, phase=kind_of(order.step), at=at, gone_at=time.monotonic())
        self.falls.all.append(self._fall)
        self._idle_experiments = 0
        victim.take(order)
        who.come_back()

    def _kill_beside(self, who: Member | Broker) -> bool:
        """Return whether there was somebody to kill; the program goes on that stood still."""
        is_there = who.is_running
        who.send(signal.SIGKILL)
        self._victim.member.send(signal.SIGCONT)
        return is_there

    @property
    def _num_ended(self) -> int:
        return len(self._stage.researcher.finished)

    @property
    def _who_dies(self) -> Member | Broker:
        member = self._victim.member
        others: tuple[Member | Broker, ...] = (*self._stage.members, self._stage.broker)
        if self._killed in {"", member.kind}:
            return member
        return next(one for one in others if one.kind == self._killed)

    def _go_on(self) -> None:
        """Give the next one its turn, once who was killed is back, or this one came to nothing."""
        fall = self._fall
        if fall is not None:
            if fall.recovery_s is not None and not self._stage.broker.is_starting:
                self._give_turn()
            elif time.monotonic() - fall.at > PATIENCE_S:
                raise Lost(f"{fall.who.kind} is not back {PATIENCE_S:.0f} s after it was killed")
        elif self._num_ended - self._turn_from >= _TURN and self._next() is not self._victim:
            self._victim.member.notes.withdraw()
            self._strike()
            if self._fall is None:
                self._give_turn()

    def _give_turn(self) -> None:
        self._fall, self._turn_from = None, self._num_ended
        for victim in self.victims:
            victim.look_for_more()
        self._victim = self._next()
        if not self._is_over:
            is_itself = self._who_dies is self._victim.member
            self._victim.member.notes.order(
                self._victim.left | self._victim.added,
                signal.SIGKILL if is_itself else signal.SIGSTOP,
            )

    def _next(self) -> Victim:
        """Return the next of those that have cells left, this one if nobody else has."""
        place = self.victims.index(self._victim)
        others = self.victims[place + 1 :] + self.victims[:place]
        return next((one for one in others if one.left or one.added), self._victim)

    def _lead_researcher(self) -> None:
        researcher = self._stage.researcher
        if researcher.is_running or researcher.is_idle:
            return
        self._strike()
        if self._stage.researcher.is_running:
            return
        if not researcher.end_life():
            researcher.start()
            return
        self._stage.check()
        self._idle_experiments += 1
        done = Counter({one.member.kind: len(one.done) for one in self.victims})
        left = sum(len(one.left) for one in self.victims)
        self._stage.say(f"experiment {len(researcher.finished)}: {dict(done)} killed, {left} left")
        if not self._is_over:
            self._stage.begin_experiment()
