"""The session: a researcher's mailbox on a thread of its own, asked from other threads."""

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from fedmq.clocks import Clock, SystemClock
from fedmq.errors import BrokerRefused, BrokerUnavailable, FedmqError, TransportError
from fedmq.messages.fields import Manifest
from fedmq.messages.mandates import ExperimentSpec
from fedmq.messages.registry import Body
from fedmq.parameters import Parameters
from fedmq.researcher.mailbox import Mailbox
from fedmq.researcher.silence import Readers, explain_silence
from fedmq.transport.home import Home
from fedmq.transport.loop import Loop
from fedmq.transport.ports import Sink, Transport, TransportEvent
from fedmq.transport.wires import Wire
from fedmq.types import ExperimentId, ResearcherId

LOOK_S: Final = 0.1
"""How often it is looked whether another program of this researcher was given what is awaited."""
COUNT_S: Final = 3.0
"""So long the broker has to say who reads, once an answer is overdue."""

T = TypeVar("T")
_Ask = Callable[[Mailbox], None]


class Session:
    """A researcher at a broker; the thread begins with the first question."""

    def __init__(
        self,
        *,
        researcher: ResearcherId,
        home: Home,
        make_transport: Callable[[Sink], Transport],
        wire: Wire,
        clock: Clock | None = None,
    ) -> None:
        self.researcher = researcher
        self._home = home
        self._clock = clock or SystemClock()
        self._make_transport = make_transport
        self._wire = wire
        self._loop: Loop[TransportEvent | _Ask] = Loop()
        self._death: BaseException | None = None
        self._news = threading.Condition()
        self._num_news = 0
        self._starting = threading.Lock()
        self._fetching = threading.Lock()
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="fedmq-researcher", daemon=True)

    def close(self) -> None:
        """End the thread; what is not sent stays in the outbox for the next session."""
        with self._starting:
            self._is_closed = True
            is_begun = self._thread.ident is not None
        if is_begun:
            self._loop.stop()
            self._thread.join()

    # From other threads.

    def orchestrators(self) -> Sequence[str]:
        """Return the federation's orchestrators, by name."""
        return self._call(lambda mailbox: mailbox.orchestrators)

    def leader(self, experiment: str) -> str | None:
        """Return to whom an experiment was given; None where this home does not know."""
        return self._call(lambda mailbox: mailbox.leader(experiment))

    def submit(
        self,
        experiment: ExperimentId,
        spec: ExperimentSpec,
        plan_source: str | None,
        initial: Parameters,
        orchestrator: str,
    ) -> None:
        """Order an experiment of an orchestrator."""
        self._call(
            lambda mailbox: mailbox.submit(experiment, spec, plan_source, initial, orchestrator)
        )

    def ask(
        self,
        body: Body,
        message_id: str,
        orchestrators: Sequence[str],
        timeout_s: float,
        *,
        is_enough: Callable[[Mailbox, str, Body], bool] = lambda *_: False,
        grace_s: float = math.inf,
    ) -> Mapping[str, Body]:
        """Return what orchestrators answer, by name: all of them, or those until one is enough.

        The question is sent until each has it. Who does not answer within `timeout_s`, or within
        `grace_s` of the first answer, is left out. `is_enough` is asked on the session's thread.

        Raises:
            BrokerRefused: the broker says no to this researcher.
            BrokerUnavailable: no broker is reached within `timeout_s`.
            StorageError: the disk refuses.
            TransportError: nobody answers within `timeout_s`, or the session is closed.
        """
        ids = {name: f"{message_id}.{name}" for name in orchestrators}
        for name, own_id in ids.items():
            self._call(partial(Mailbox.post, body=body, message_id=own_id, orchestrator=name))
        found: dict[str, Body] = {}
        until = time.monotonic() + timeout_s

        def look(mailbox: Mailbox) -> Mapping[str, Body] | None:
            nonlocal until
            for name, own_id in ids.items():
                answer = mailbox.take_answer(own_id, name)
                if answer is not None:
                    found[name] = answer.body
                    until = min(until, time.monotonic() + grace_s)
            if not found:
                return None  # why, is looked for once it is overdue
            is_all = len(found) == len(ids) or time.monotonic() >= until
            is_done = any(is_enough(mailbox, name, body) for name, body in found.items())
            return found if is_done or is_all else None

        return self._await(look, timeout_s, orchestrators)

    def await_answer(self, message_id: str, orchestrator: str, timeout_s: float) -> Body:
        """Return an orchestrator's answer to a message that was sent.

        Raises:
            BrokerRefused, BrokerUnavailable, TransportError: as `ask`.
        """
        return self._await(
            lambda mailbox: mailbox.take_answer(message_id, orchestrator), timeout_s, [orchestrator]
        ).body

    def take_answer(self, message_id: str, orchestrator: str) -> Body | None:
        """Return the answer to a message of an earlier session, if it is here, once."""
        answer = self._call(lambda mailbox: mailbox.take_answer(message_id, orchestrator))
        return None if answer is None else answer.body

    def fetch(
        self, manifest: Manifest, experiment: ExperimentId, orchestrator: str, timeout_s: float
    ) -> Path:
        """Return where a payload of who leads an experiment is, once it is here, whole.

        Raises:
            BrokerRefused, BrokerUnavailable, TransportError: as `ask`; what came by then is kept,
                and the next call asks for the rest.
        """
        with self._fetching:
            path = self._call(lambda mailbox: mailbox.find_payload(manifest.digest))
            if path is not None:
                return path
            self._call(lambda mailbox: mailbox.want(manifest, experiment, orchestrator))
            try:
                return self._await(
                    lambda mailbox: mailbox.find_payload(manifest.digest), timeout_s, [orchestrator]
                )
            finally:
                # A thread that has ended asks for nothing anyway, and its error is on its way.
                with suppress(FedmqError):
                    self._call(lambda mailbox: mailbox.want_no_more(experiment))

    def _await(self, look: Callable[[Mailbox], T | None], timeout_s: float, of: Sequence[str]) -> T:
        deadline = time.monotonic() + timeout_s
        self._call(Mailbox.forget_readers)
        while True:
            seen = self._num_news
            found, hopeless = self._call(partial(self._look, look, deadline, of))
            if found is not None:
                return found
            if hopeless is not None:
                raise hopeless
            self._wait_for_news(seen)

    def _wait_for_news(self, seen: int) -> None:
        with self._news:
            self._news.wait_for(lambda: self._num_news != seen, timeout=LOOK_S)

    def _call(self, act: Callable[[Mailbox], T]) -> T:
        """Return what `act` returns on the session's thread."""
        self._begin()
        future: Future[T] = Future()
        self._loop.put(partial(_perform, future, act))
        # A thread that ended, or that is about to, takes nothing more.
        while not wait([future], timeout=LOOK_S).done and self._thread.is_alive():
            pass
        if future.done():
            return future.result()
        raise self._ended()

    def _begin(self) -> None:
        with self._starting:
            if self._thread.ident is None and not self._is_closed:
                self._thread.start()

    def _ended(self) -> FedmqError:
        if isinstance(self._death, FedmqError):
            return self._death
        return TransportError(
            "the client is closed",
            why=type(self._death).__name__ if self._death is not None else "",
            fix="make a new one",
        )

    def _hopeless(
        self, mailbox: Mailbox, deadline: float, of: Sequence[str]
    ) -> TransportError | None:
        """Return why it makes no sense to wait longer, None while it does."""
        if mailbox.refusal:
            return BrokerRefused(
                f"the broker refuses {self.researcher}",
                why=mailbox.refusal,
                fix="use the credentials that the hub's operator gave you last",
            )
        if time.monotonic() < deadline:
            return None
        if not mailbox.is_connected:
            return BrokerUnavailable(
                "no broker answers",
                why=mailbox.trouble,
                fix="look whether this machine reaches it; the hub's operator: fedmq hub status",
            )
        if mailbox.trouble:
            return BrokerUnavailable(
                "the broker answers, and nothing comes through",
                why=mailbox.trouble,
                fix="the hub's operator: fedmq hub status",
            )
        readers = {name: mailbox.readers(name) for name in of}
        if None in readers.values() and time.monotonic() < deadline + COUNT_S:
            mailbox.count_readers(of)
            return None
        return explain_silence({name: one or Readers() for name, one in readers.items()})

    # On the session's thread.

    def _look(
        self,
        look: Callable[[Mailbox], T | None],
        deadline: float,
        of: Sequence[str],
        mailbox: Mailbox,
    ) -> tuple[T | None, TransportError | None]:
        found = look(mailbox)
        return found, None if found is not None else self._hopeless(mailbox, deadline, of)

    def _run(self) -> None:
        try:
            mailbox = Mailbox(
                researcher=self.researcher,
                home=self._home,
                transport=self._make_transport(self._loop.put),
                wire=self._wire,
                clock=self._clock,
            )
            try:
                mailbox.open()
                self._loop.run(partial(self._take, mailbox), mailbox.tick)
            finally:
                mailbox.close()
        except Exception as error:  # noqa: BLE001 - told to whoever asks next
            self._death = error

    def _take(self, mailbox: Mailbox, event: TransportEvent | _Ask) -> None:
        if callable(event):
            event(mailbox)
            return
        mailbox.handle(event)
        with self._news:
            self._num_news += 1
            self._news.notify_all()


def _perform(future: Future[T], act: Callable[[Mailbox], T], mailbox: Mailbox) -> None:
    try:
        future.set_result(act(mailbox))
    except Exception as error:  # noqa: BLE001 - handed on to who asked
        future.set_exception(error)
