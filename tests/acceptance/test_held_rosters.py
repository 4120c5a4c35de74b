"""A roster that waits at every hospital, and a researcher who is put out meanwhile: real keys."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.federation import (
    CENTRE,
    LYON,
    PARIS,
    RESEARCHER,
    Federation,
    running_federation,
    until,
)

pytestmark = [
    pytest.mark.rabbitmq,
    pytest.mark.hub_broker,
    pytest.mark.timeout(300),
    pytest.mark.xdist_group("held_rosters"),
]
NODES = (LYON, PARIS)


def rosters(federation: Federation, node: str) -> dict[str, Any]:
    """Return a node's roster and the one that waits there."""
    shown: dict[str, Any] = federation.do(node, "node", "roster", "--json").json
    return shown


def has_refused(federation: Federation, node: str) -> bool:
    """Return whether a node has said that what is asked for was ordered by nobody who counts."""
    return "not_mandated" in federation.do(node, "node", "audit", "show", "--json").data


def test_who_is_revoked_while_a_roster_waits_orders_nothing_more(tmp_path: Path) -> None:
    """An experiment of theirs that runs gets no further, where nobody has agreed to anything."""
    with running_federation(tmp_path / "f", None) as federation:
        federation.hold(LYON, 2)
        experiment = federation.write_experiment(rounds=4, config=federation.hold_config)
        federation.submit(experiment)
        federation.approve(*NODES)
        federation.reached(LYON, 2)

        federation.do(CENTRE, "hub", "add-orchestrator", "centre-north")
        for node in NODES:
            until(lambda node=node: rosters(federation, node)["held"], f"the roster at {node}")
        federation.do(CENTRE, "hub", "revoke", RESEARCHER, "--reason", "left")
        for node in NODES:
            until(
                lambda node=node: rosters(federation, node)["held"]["changes"]["out"],
                f"the newer roster at {node}",
            )
            shown = rosters(federation, node)
            assert shown["held"]["changes"]["out"] == [RESEARCHER]
            assert shown["held"]["changes"]["awaited"] == ["centre-north"]
            assert RESEARCHER in [one["name"] for one in shown["roster"]["members"]]
            assert not has_refused(federation, node)

        federation.release()
        for node in NODES:
            until(lambda node=node: has_refused(federation, node), f"the refusal of {node}")
            assert rosters(federation, node)["held"] is not None, "nobody has agreed to it"
