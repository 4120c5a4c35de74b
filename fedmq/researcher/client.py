"""The client: what a researcher does in Python, in a notebook, and behind the command line."""

import hashlib
import math
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from fedmq.errors import BrokerRefused, ConfigurationError, TransportError
from fedmq.messages.data import KnownNode
from fedmq.messages.registry import Body
from fedmq.messages.submissions import (
    Acceptance,
    ExperimentReport,
    NodesReport,
    OrderReport,
    Query,
    QueryKind,
    Rejection,
    ReportList,
)
from fedmq.parameters import Parameters
from fedmq.researcher.experiment import Experiment
from fedmq.researcher.mailbox import Mailbox, submission_id
from fedmq.researcher.nodes import KnownNodes
from fedmq.researcher.reports import ExperimentReports
from fedmq.researcher.run import Run
from fedmq.researcher.session import Session
from fedmq.researcher.silence import orchestrator_words
from fedmq.transport.home import Home
from fedmq.transport.machine import LocalMachine, Machine
from fedmq.transport.ports import Sink, Transport
from fedmq.transport.wires import Wire
from fedmq.types import NOWHERE, ExperimentId, ResearcherId, parse_id

TIMEOUT_S: Final = 30.0
CHOOSE_S: Final = 3.0
"""So long orchestrators have to say what they lead, where others can say it or have said it."""
FETCH_TIMEOUT_S: Final = 3600.0
"""So long a model may be on its way; meanwhile it is looked whether it is still the newest."""
_TOKEN_BYTES: Final = 3
_MAX_NAME: Final = 33
"""Of an experiment's name, so that an id of 40 characters has room for the token."""


class Client:
    """A researcher's way into a federation, taken when it is first used.

    Closing it stops no experiment. Programs of one researcher may share a home, at the same time
    or one after the other: what one could not send, the next one sends.
    """

    def __init__(
        self,
        *,
        researcher: str,
        home: Home,
        make_transport: Callable[[Sink], Transport],
        wire: Wire,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._timeout_s = timeout_s
        self._session = Session(
            researcher=ResearcherId(parse_id(researcher, kind="researcher")),
            home=home,
            make_transport=make_transport,
            wire=wire,
        )

    @classmethod
    def from_credentials(
        cls,
        credentials: Path | str,
        home: Path | str | None = None,
        timeout_s: float = TIMEOUT_S,
        machine: Machine | None = None,
    ) -> "Client":
        """Return the client of the researcher whose credentials are in a file.

        Its keys lie beside it, and FEDMQ_PROXY names the proxy that leads to the broker, if any.
        `home` keeps what is not yet sent and the models that were fetched, by default in a folder
        beside the file; `machine` is this one unless told.

        Raises:
            ConfigurationError: the file or the keys are missing or damaged, or not a researcher's.
        """
        from fedmq import __version__
        from fedmq.hub.logins import login_of
        from fedmq.hub.membership import read_membership
        from fedmq.settings import read_settings
        from fedmq.types import Role

        membership = read_membership(Path(credentials), Role.RESEARCHER)
        user = membership.credentials.user
        place = membership.folder / f"{user}-files" if home is None else Path(home)
        machine = machine or LocalMachine()
        settings = read_settings()
        login = login_of(membership, settings, f"fedmq {__version__}")
        return cls(
            researcher=user,
            home=machine.home(place),
            make_transport=partial(machine.transport, login),
            wire=membership.wire(),
            timeout_s=timeout_s,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the broker; experiments go on."""
        self._session.close()

    def submit(
        self, experiment: Experiment, initial: Parameters | None = None, *, orchestrator: str = ""
    ) -> Run:
        """Return the run of an experiment that an orchestrator has taken.

        `initial` are the parameters of round 0; by default those that the plan makes of the seed.
        It is led by the `orchestrator` that is named, else by that of those who answer which leads
        the fewest experiments.

        Raises:
            ConfigurationError: the experiment cannot be run; the error says what to mend.
            PlanError: its plan cannot be used.
            StorageError: the initial parameters cannot be written.
            TransportError: no answer; the submission is kept, and the error says under which id.
        """
        spec, source, plan_class = experiment.to_spec()
        if initial is None:
            initial = experiment.initial_parameters(plan_class)
        identifier = ExperimentId(f"{spec.name[:_MAX_NAME]}-{secrets.token_hex(_TOKEN_BYTES)}")
        leader = self._choose(identifier, orchestrator)
        self._session.submit(identifier, spec, source, initial, leader)
        try:
            answer = self._session.await_answer(submission_id(identifier), leader, self._timeout_s)
        except TransportError as error:
            raise _kept(error, identifier, leader) from error
        _require_taken(answer, identifier)
        return Run(identifier, self)

    def experiments(self) -> ExperimentReports:
        """Return all experiments of this researcher, without their rounds.

        Those of an orchestrator that does not answer are missing; it is named.
        """
        names = self._orchestrators()
        answers = self._ask(QueryKind.LIST, NOWHERE, names, self._timeout_s, grace_s=CHOOSE_S)
        found: list[ExperimentReport] = []
        for answer in answers.values():
            if not isinstance(answer, ReportList):
                raise _unexpected(answer)
            found.extend(answer.reports)
        silent = tuple(name for name in names if name not in answers)
        return ExperimentReports(tuple(found), silent)

    def nodes(self) -> KnownNodes:
        """Return the nodes of the federation that were heard of, and what they tell of their data.

        What an orchestrator that does not answer knows is missing; it is named.
        """
        names = self._orchestrators()
        answers = self._ask(QueryKind.NODES, NOWHERE, names, self._timeout_s, grace_s=CHOOSE_S)
        found: dict[str, KnownNode] = {}
        for answer in answers.values():
            if not isinstance(answer, NodesReport):
                raise _unexpected(answer)
            for one in answer.nodes:
                known = found.get(one.node)
                if known is None or known.heard_at < one.heard_at:
                    found[one.node] = one
        silent = tuple(name for name in names if name not in answers)
        return KnownNodes(tuple(found[name] for name in sorted(found)), silent)

    def experiment(self, identifier: str) -> Run:
        """Return the run of an experiment that was submitted before.

        Raises:
            ConfigurationError: this researcher has no such experiment, or it was not taken.
        """
        experiment = ExperimentId(parse_id(identifier, kind="experiment"))
        leader = self._session.leader(experiment)
        if leader is not None:
            late = self._session.take_answer(submission_id(experiment), leader)
            if late is not None:
                _require_taken(late, experiment)
        run = Run(experiment, self)
        run.report()
        return run

    def leader_of(self, identifier: str) -> str:
        """Return who leads an experiment, as far as this home knows; empty where it does not."""
        return self._session.leader(identifier) or ""

    # For runs.

    def read_report(
        self, experiment: ExperimentId, wish: QueryKind = QueryKind.SHOW
    ) -> ExperimentReport:
        """Return an experiment as it stands, after stopping, pausing or resuming it if wished."""
        leader = self._find_leader(experiment)
        answer = self._ask(wish, experiment, [leader], self._timeout_s)[leader]
        if isinstance(answer, ExperimentReport):
            return answer
        raise _none_such(experiment) if isinstance(answer, Rejection) else _unexpected(answer)

    def fetch_model(self, experiment: ExperimentId) -> Path:
        """Return the file of the newest model, which belongs to the client.

        Raises:
            ConfigurationError: there is no model.
            TransportError: it did not come, or the orchestrator does not answer.
        """
        deadline = time.monotonic() + FETCH_TIMEOUT_S
        while True:
            # Another round may have closed, and then the orchestrator has that model alone.
            report = self.read_report(experiment)
            if report.model is None:
                raise ConfigurationError(f"{experiment} has no model yet", why=report.reason)
            try:
                leader = self._find_leader(experiment)  # who has just answered
                return self._session.fetch(report.model, experiment, leader, self._timeout_s)
            except TransportError as error:
                # What is more than "not yet" is told by the next report.
                if type(error) is not TransportError or time.monotonic() >= deadline:
                    raise

    def _ask(
        self,
        kind: QueryKind,
        experiment: str,
        names: Sequence[str],
        timeout_s: float,
        *,
        grace_s: float = math.inf,
        is_enough: Callable[[Mailbox, str, Body], bool] = lambda *_: False,
    ) -> Mapping[str, Body]:
        name = "all" if experiment == NOWHERE else experiment
        return self._session.ask(
            Query(kind=kind, experiment=experiment),
            f"{name}.{kind}.{secrets.token_hex(8)}",
            names,
            timeout_s,
            is_enough=is_enough,
            grace_s=grace_s,
        )

    def _find_leader(self, experiment: ExperimentId) -> str:
        """Return who leads an experiment; where this home does not know, who shows its order.

        Raises:
            ConfigurationError: it has none, or none that is in the federation.
            TransportError: one that may lead it does not answer, or does not show its order.
        """
        leader, names = self._session.leader(experiment), self._orchestrators()
        if leader is None:
            return names[0] if len(names) == 1 else self._ask_who_leads(experiment, names)
        if leader in names:
            return leader
        raise ConfigurationError(
            f"nobody leads {experiment} any more",
            why=f"{leader} led it, and is no member of the federation now",
            fix="submit the experiment again",
        )

    def _ask_who_leads(self, experiment: ExperimentId, names: Sequence[str]) -> str:
        answers = self._ask(
            QueryKind.ORDER,
            experiment,
            names,
            self._timeout_s,
            is_enough=lambda mailbox, name, answer: mailbox.learn_leader(experiment, name, answer),
        )
        leader = self._session.leader(experiment)
        if leader is not None:
            return leader
        silent = [name for name in names if name not in answers]
        if silent:
            raise TransportError(
                f"no answer from {', '.join(silent)}",
                why=f"nobody else leads {experiment}",
                fix="ask again once it is there; the hub's operator: fedmq status",
            )
        for name, answer in answers.items():
            if isinstance(answer, OrderReport):
                raise TransportError(
                    f"{name} does not show that it leads {experiment}",
                    why="there is no order of yours that names it, signed with keys that count",
                    fix="if keys of yours were stolen, submit it again; "
                    "if not, tell the hub's operator",
                )
            if not isinstance(answer, Rejection):
                raise _unexpected(answer)
        raise _none_such(experiment)

    def _orchestrators(self) -> Sequence[str]:
        names = self._session.orchestrators()
        if names:
            return names
        raise ConfigurationError(
            "nobody can lead experiments",
            why="the roster names no orchestrator",
            fix="the hub's operator: fedmq hub status",
        )

    def _choose(self, experiment: ExperimentId, wanted: str) -> str:
        """Return who is to lead an experiment.

        Raises:
            ConfigurationError: who is wanted is no orchestrator.
        """
        names = self._orchestrators()
        if wanted and wanted not in names:
            raise ConfigurationError(
                f"{wanted} cannot lead {experiment}",
                why="it is no orchestrator of this federation",
                fix="name one of: " + ", ".join(names),
            )
        if wanted or len(names) == 1:
            return wanted or names[0]
        try:
            answers = self._ask(QueryKind.LIST, experiment, names, min(CHOOSE_S, self._timeout_s))
        except BrokerRefused:
            raise
        except TransportError:
            answers = {}  # it waits for one of them
        running = {
            name: body.num_running for name, body in answers.items() if isinstance(body, ReportList)
        }
        # Of equals not always the first: several researchers may be choosing just now.
        return min(running or names, key=lambda one: (running.get(one, 0), _lot(experiment, one)))


def _lot(experiment: str, orchestrator: str) -> bytes:
    return hashlib.sha256(f"{experiment} {orchestrator}".encode()).digest()


def _require_taken(answer: Body, experiment: ExperimentId) -> None:
    if isinstance(answer, Rejection):
        raise ConfigurationError(
            f"the orchestrator does not take {experiment}",
            why=answer.reason,
            fix="mend the experiment, and submit it again",
        )
    if not isinstance(answer, Acceptance):
        raise _unexpected(answer)


def _kept(error: TransportError, experiment: ExperimentId, leader: str) -> TransportError:
    """Return the error with what has become of the submission."""
    return type(error)(
        error.what,
        why=error.why,
        fix=f"{error.fix}; the submission is not lost: it waits as {experiment}, and is run when "
        f"{orchestrator_words(leader)} is there and a client of this home has sent it",
    )


def _none_such(experiment: ExperimentId) -> ConfigurationError:
    reason = f"you have no experiment {experiment}"
    return ConfigurationError(reason, fix="see: fedmq experiments list")


def _unexpected(answer: Body) -> TransportError:
    return TransportError(
        "the orchestrator answers something else than asked",
        why=f"a message {answer.TYPE} came",
        fix="use the same version of fedmq as the hub",
    )
