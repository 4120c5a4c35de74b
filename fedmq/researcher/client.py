"""The client: what a researcher does in Python, in a notebook, and behind the command line."""

import secrets
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from fedmq.errors import ConfigurationError
from fedmq.messages.submissions import (
    Acceptance,
    ExperimentReport,
    Query,
    QueryKind,
    ReportList,
    Submission,
)
from fedmq.parameters import Parameters, save_parameters
from fedmq.researcher.experiment import Experiment
from fedmq.researcher.run import Run
from fedmq.researcher.session import Session
from fedmq.transport.ports import Sink, Transport
from fedmq.types import NOWHERE, ExperimentId, ResearcherId

TIMEOUT_S: Final = 30.0
_TOKEN_BYTES: Final = 3


class Client:
    """A researcher's way into a federation; closing it stops no experiment."""

    def __init__(
        self,
        *,
        researcher: str,
        home: Path,
        make_transport: Callable[[Sink], Transport],
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._timeout_s = timeout_s
        self._session = Session(
            researcher=ResearcherId(researcher), home=home, make_transport=make_transport
        )
        self._session.open()

    @classmethod
    def from_credentials(cls, path: Path | str, home: Path | str | None = None) -> "Client":
        """Return the client of whom the hub wrote these credentials for.

        `home` keeps what is not yet sent and the models that were fetched; the default lies beside
        the credentials.

        Raises:
            ConfigurationError: the file is missing or damaged.
        """
        # The broker's library is needed by those who connect, not by those who import fedmq.
        from fedmq import __version__
        from fedmq.hub.credentials import read_credentials
        from fedmq.transport.rabbitmq import RabbitTransport, make_login

        path = Path(path)
        known = read_credentials(path)
        login = make_login(
            known.url, user=known.user, password=known.password, program=f"fedmq {__version__}"
        )
        return cls(
            researcher=known.user,
            home=Path(home) if home is not None else path.parent / f"{known.user}-files",
            make_transport=lambda sink: RabbitTransport(login, sink),
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

    def submit(self, experiment: Experiment, initial: Parameters | None = None) -> Run:
        """Return the run of an experiment that the orchestrator has taken.

        `initial` are the parameters of round 0; by default those that the plan makes of the seed.

        Raises:
            ConfigurationError: the experiment cannot be run; the error says what to mend.
            PlanError: its plan cannot be used.
            BrokerRefused, BrokerUnavailable: no way to the orchestrator.
        """
        spec = experiment.to_spec()
        plan_class, source = experiment.load_plan()
        if initial is None:
            from fedmq.learning.configs import make_config

            initial = plan_class(make_config(plan_class, experiment.config)).initial_parameters(
                experiment.seed
            )
        identifier = ExperimentId(f"{spec.name[:33]}-{secrets.token_hex(_TOKEN_BYTES)}")
        name = f"{identifier}.initial"
        save_parameters(initial, self._session.payload_path(name))
        submission = Submission(spec=spec, plan_source=source, initial=self._session.adopt(name))
        answer = self._session.ask(
            submission, f"{identifier}.submission", identifier, self._timeout_s
        )
        if not isinstance(answer, Acceptance):
            raise ConfigurationError("the orchestrator answers something else")
        return Run(identifier, self)

    def experiments(self) -> list[ExperimentReport]:
        """Return all experiments of this researcher, without their rounds."""
        answer = self._query(QueryKind.LIST, NOWHERE)
        return list(answer.reports) if isinstance(answer, ReportList) else []

    def experiment(self, identifier: str) -> Run:
        """Return the run of an experiment that was submitted before.

        Raises:
            ConfigurationError: this researcher has no such experiment.
        """
        run = Run(ExperimentId(identifier), self)
        run.report()
        return run

    # For runs.

    def read_report(self, experiment: ExperimentId, *, stop: bool = False) -> ExperimentReport:
        """Return an experiment as it stands, after stopping it if asked."""
        answer = self._query(QueryKind.STOP if stop else QueryKind.SHOW, experiment)
        if not isinstance(answer, ExperimentReport):
            raise ConfigurationError("the orchestrator answers something else")
        return answer

    def fetch_model(self, report: ExperimentReport) -> Path:
        """Return the file of the newest model, which belongs to the client."""
        if report.model is None:
            raise ConfigurationError(f"{report.experiment} has no model yet")
        return self._session.fetch(report.model, report.experiment, 20 * self._timeout_s)

    def _query(self, kind: QueryKind, experiment: str) -> object:
        message_id = f"{experiment.strip('-') or 'all'}.{kind}.{secrets.token_hex(8)}"
        query = Query(kind=kind, experiment=experiment)
        return self._session.ask(query, message_id, NOWHERE, self._timeout_s)
