"""Experiments as researchers see them, invented; and a federation that tells them."""

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from fedmq.errors import ConfigurationError
from fedmq.messages.data import KnownNode
from fedmq.messages.fields import PlanReference, RatioField
from fedmq.messages.mandates import ExperimentSpec
from fedmq.messages.submissions import ExperimentReport, NodeOutcome, QueryKind, RoundRecord
from fedmq.parameters import save_parameters
from fedmq.researcher.experiment import Experiment
from fedmq.researcher.nodes import KnownNodes
from fedmq.researcher.reports import ExperimentReports
from fedmq.researcher.run import Run
from fedmq.types import ORCHESTRATOR, ExperimentId
from tests.unit.messages.examples import DATASET

LUNG = "lung-pfs-16bc7b"
NODES = ("chu-lyon", "ghu-paris", "ico-nantes", "umc-basel")


def make_record(
    number: int, *, missed: Sequence[str] = (), metrics: Sequence[str] = ("c_index", "loss")
) -> RoundRecord:
    """Return the record of a round in which `missed` did not answer."""
    return RoundRecord(
        round=number,
        attempt=0,
        model="0" * 64,
        outcomes=[
            NodeOutcome(
                node=node,
                outcome="missed" if node in missed else "updated",
                num_cases=10,
                duration_s=1.0,
            )
            for node in NODES
        ],
        train_metrics={"loss": RatioField(numerator=14.398, denominator=10.0)},
        metrics={name: RatioField(numerator=3.0, denominator=4.0) for name in metrics},
        bytes_up=182_300,
        bytes_down=45_600,
        duration_s=3.14,
    )


def make_report(
    state: str = "finished",
    records: Sequence[RoundRecord] = (),
    *,
    reason: str = "",
    experiment: str = LUNG,
    num_rounds: int = 2,
) -> ExperimentReport:
    """Return an experiment as it stands."""
    return ExperimentReport(
        experiment=experiment,
        spec=ExperimentSpec(
            name="lung-pfs",
            purpose="Progression-free survival at 12 months",
            plan=PlanReference(name="petct-survival", digest="ab" * 32, is_shipped=False),
            dataset="lung-petct",
            num_rounds=num_rounds,
            quorum=3,
        ),
        state=state,
        reason=reason,
        round=len(records),
        model=None,
        records=list(records),
    )


class Told:
    """A client of a federation that tells one report after another, and then the last one."""

    def __init__(
        self,
        folder: Path,
        reports: Sequence[ExperimentReport],
        *,
        leader: str = ORCHESTRATOR,
        silent: tuple[str, ...] = (),
    ) -> None:
        self.submitted: list[Experiment] = []
        self.wanted: list[str] = []
        """Who was to lead them."""
        self._leader = leader
        self._silent = silent
        self.is_closed = False
        self.leaves_at: int | None = None
        """The researcher presses Ctrl-C when the report of this number is asked for."""
        self._reports = list(reports)
        self._num_asked = 0
        self._model = folder / "newest-model"
        save_parameters({"w": np.ones(2)}, self._model)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.is_closed = True

    def nodes(self) -> KnownNodes:
        """Tell of one node with data, and one without."""
        heard_at = 1_800_000_000.0
        return KnownNodes(
            (
                KnownNode(node="chu-lyon", heard_at=heard_at, datasets=[DATASET]),
                KnownNode(node="ghu-paris", heard_at=heard_at, datasets=[]),
            ),
            self._silent,
        )

    def submit(self, experiment: Experiment, *, orchestrator: str = "") -> Run:
        """Take an experiment."""
        self.submitted.append(experiment)
        self.wanted.append(orchestrator)
        return self._run()

    def leader_of(self, _identifier: str) -> str:
        """Return who leads it."""
        return self._leader

    def experiments(self) -> ExperimentReports:
        """Return all experiments."""
        return ExperimentReports(tuple(self._reports), self._silent)

    def experiment(self, identifier: str) -> Run:
        """Return the run of the one experiment."""
        if identifier != LUNG:
            raise ConfigurationError(
                f"you have no experiment {identifier}", fix="see: fedmq experiments list"
            )
        return self._run()

    def read_report(
        self, _experiment: ExperimentId, wish: QueryKind = QueryKind.SHOW
    ) -> ExperimentReport:
        """Return the next report, or what becomes of a wish."""
        if wish is QueryKind.STOP:
            return make_report("stopped", reason="stopped by the researcher")
        if wish is QueryKind.PAUSE:
            return make_report("paused", reason="paused by the researcher")
        if self._num_asked == self.leaves_at:
            raise KeyboardInterrupt
        report = self._reports[min(self._num_asked, len(self._reports) - 1)]
        self._num_asked += 1
        return report

    def fetch_model(self, _experiment: ExperimentId) -> Path:
        """Return the file of the newest model."""
        return self._model

    def _run(self) -> Run:
        return Run(ExperimentId(LUNG), self, clock=lambda: 0.0, sleep=lambda _: None)
