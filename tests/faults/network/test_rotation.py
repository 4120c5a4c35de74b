"""Keys of a node and of the orchestrator that change in the middle of a round."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.federation import CENTRE, LYON, PARIS, RESEARCHER, Federation, until

pytestmark = [
    pytest.mark.row("24"),
    pytest.mark.rabbitmq,
    pytest.mark.hub_broker,
    pytest.mark.timeout(300),
    pytest.mark.xdist_group("faults"),
]


def fingerprints(federation: Federation, node: str) -> dict[str, str]:
    """Return the fingerprint of each member, by the roster of a node."""
    shown = federation.do(node, "node", "roster", "--json").json
    assert shown["held"] is None
    return {one["name"]: one["fingerprint"] for one in shown["roster"]["members"]}


def rotate(federation: Federation, name: str, home: str, *command: str, stolen: bool) -> str:
    """Return the fingerprint of the keys that a member has from now on."""
    asked = federation.do(home, *command)
    (shown,) = [
        one
        for one in federation.do(CENTRE, "hub", "joins", "--json").json["joins"]
        if one["name"] == name
    ]
    assert (shown["fingerprint"], shown["asks"]) == (asked.data.strip(), "new keys")
    options = ["--stolen"] if stolen else []
    admitted = federation.do(
        CENTRE, "hub", "admit", name, "--fingerprint", shown["fingerprint"], *options
    )
    assert shown["fingerprint"] in admitted.talk
    return str(shown["fingerprint"])


@pytest.mark.parametrize("stolen", [False, True], ids=["planned", "stolen"])
def test_a_node_the_orchestrator_and_the_researcher_have_new_keys_in_a_round(
    federation: Federation,
    undisturbed: list[str],
    held: str,
    mended: Callable[[], None],
    *,
    stolen: bool,
) -> None:
    """All take them by themselves, nothing waits, and the models are those of any other run."""
    before = fingerprints(federation, PARIS)
    said = {name: len(federation.programs[name].log()) for name in (LYON, "orchestrator")}
    new = {
        LYON: rotate(federation, LYON, LYON, "node", "rotate", stolen=stolen),
        "orchestrator": rotate(
            federation, "orchestrator", CENTRE, "orchestrator", "rotate", stolen=stolen
        ),
        # What a stolen key ordered is not done any more: hers is changed as planned.
        RESEARCHER: rotate(federation, RESEARCHER, RESEARCHER, "rotate", stolen=False),
    }
    for name in said:
        until(
            lambda name=name: "keys_changed" in federation.programs[name].log()[said[name] :],  # type: ignore[misc]
            f"{name}'s new keys",
        )
    until(lambda: fingerprints(federation, PARIS) == before | new, "the roster at Paris")
    mended()
    federation.release()
    assert federation.digests(held) == undisturbed
    for name in (LYON, PARIS):
        assert federation.programs[name].is_running
        status: Any = until(
            lambda name=name: (found := federation.status(name))["unsent"] == 0 and found,  # type: ignore[misc]
            f"the receipts of {name}",
        )
        assert not status["payloads_awaited"]
