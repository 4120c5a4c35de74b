"""Overviews: what an orchestrator tells everybody, now and then and when something changed."""

from collections.abc import Callable
from typing import Final

from fedmq.clocks import Clock
from fedmq.messages.envelope import Place
from fedmq.messages.notices import ExperimentOverview, Overview
from fedmq.orchestrator.leader import Leader
from fedmq.orchestrator.presence import Presence
from fedmq.transport.courier import Courier
from fedmq.transport.topology import OVERVIEW
from fedmq.types import ExperimentId

OVERVIEW_S: Final = 5.0
OVERVIEW_GAP_S: Final = 1.0
"""So long after an overview comes no other, whatever happens."""


class Overviews:
    """The overviews of one orchestrator."""

    def __init__(
        self,
        *,
        courier: Courier,
        leader: Leader,
        presence: Presence,
        clock: Clock,
        version: str,
        count_stand_bys: Callable[[], int],
    ) -> None:
        self._courier = courier
        self._leader = leader
        self._presence = presence
        self._clock = clock
        self._version = version
        self._count_stand_bys = count_stand_bys
        self._told_at = clock.steady() - OVERVIEW_S
        self._told: dict[ExperimentId, str] = {}

    def tick(self) -> None:
        """Tell one when an experiment began, changed its stage or ended, and at times."""
        silence_s = self._clock.steady() - self._told_at
        stages = {
            lead.kept.experiment: lead.state.shown for lead in self._leader if not lead.is_over
        }
        is_news = stages != self._told and silence_s >= OVERVIEW_GAP_S
        if is_news or silence_s >= OVERVIEW_S:
            self._told_at, self._told = self._clock.steady(), stages
            self._tell()

    def _tell(self) -> None:
        body = Overview(
            version=self._version,
            nodes=self._presence.overview(),
            experiments=[
                ExperimentOverview(
                    experiment=lead.kept.experiment,
                    state=lead.state.shown,
                    round=lead.state.round,
                    num_rounds=lead.state.spec.num_rounds,
                    reason=self._leader.reason(lead)[:2000],
                )
                for lead in self._leader
                if not lead.is_over
            ],
            stand_bys=self._count_stand_bys(),
        )
        message = self._courier.write(body, f"overview.{int(self._clock.now())}", "-", Place())
        self._courier.tell(message, OVERVIEW)
