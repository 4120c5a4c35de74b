"""Updates that are none: refused at the node with a code; the round goes on without it."""

import pytest

from tests.faults.machines.conftest import Small
from tests.faults.machines.test_absences import begin, ended, require_models
from tests.support.federation import LYON, PARIS

pytestmark = [
    pytest.mark.row("15"),
    pytest.mark.rabbitmq,
    pytest.mark.small_disks,
    pytest.mark.timeout(300),
    pytest.mark.xdist_group("machines"),
]

CODES = {
    "nan": "update_not_finite",
    "inf": "update_not_finite",
    "shape": "update_misshapen",
    "kind": "update_misshapen",
    "name": "update_misshapen",
    # Finite and of the right shape: no update of a sound training, but nothing that a node can
    # tell from one. What bounds an update's size is clipping, which is not there yet.
    "zero": "updated",
    "huge": "updated",
}


def test_what_a_training_gives_that_is_no_update_stays_at_the_node(small: Small) -> None:
    """In each round another kind, and in each the others' model is made without it."""
    federation = small.federation
    identifier = begin(
        federation,
        rounds=len(CODES),
        round_deadline_s=3_600,
        spoils=tuple(CODES),
        spoiled_site=PARIS,
    )
    report = ended(federation, identifier)
    outcomes = [
        next(one["outcome"] for one in record["outcomes"] if one["node"] == PARIS)
        for record in report["records"]
    ]
    assert dict(zip(CODES, outcomes, strict=True)) == CODES
    participants = require_models(federation, report)
    assert participants == [(LYON,)] * 5 + [(LYON, PARIS)] * 2
    assert federation.programs[PARIS].is_running
