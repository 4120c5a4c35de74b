"""Who is measured when, and what is compared with what."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pytest

from benchmarks import rounds
from benchmarks.comparison import Load, Missed, Outcome, Turn
from benchmarks.peers.catalogue import Peer
from benchmarks.raw_member import Login, Member, Sizes, read_member
from benchmarks.rounds import Contender, Lineup, Protection
from benchmarks.training import TRAININGS

LOAD = Load(num_nodes=2, mb=1, num_rounds=3)


@dataclass(frozen=True)
class Pretender:
    """A peer that takes as long as it is told."""

    name: str
    has_tls: bool
    outcomes: Iterator[Outcome] = field(default_factory=lambda: iter(()))

    def measure(self, _folder: Path, _load: Load) -> Outcome:
        """Return the next of its outcomes."""
        return next(self.outcomes)


def turn(second: float) -> Turn:
    """Return a turn of one round."""
    return Turn(round_s=(second,), first_round_s=10 * second)


def lineup(protection: Protection, *peers: Peer, with_raw: bool = True) -> Lineup:
    """Return who takes part in null training."""
    return Lineup(
        training=TRAININGS["null"],
        encoding="exact",
        protection=protection,
        peers=peers,
        with_raw=with_raw,
        num_turns=2,
    )


def test_the_first_of_a_turn_is_another_one_each_time() -> None:
    """What runs after a long rest, or beside somebody's burst, is not always the same."""
    called: list[str] = []

    def contender(name: str) -> Contender:
        def measure() -> Outcome:
            called.append(name)
            return turn(1.0)

        return Contender(name=name, measure=measure)

    rounds._take_turns([contender(name) for name in "abc"], 3)
    assert "".join(called) == "abcbcacab"


def test_who_does_not_fit_is_not_asked_again() -> None:
    """Its reason stands for every turn after it; a failure may be of one turn alone."""
    outcomes = iter([Missed(why="failed"), turn(1.0), Missed(why="large", is_final=True)])
    found = rounds._take_turns([Contender(name="a", measure=lambda: next(outcomes))], 4)
    assert found["a"] == [
        Missed(why="failed"),
        turn(1.0),
        Missed(why="large", is_final=True),
        Missed(why="large", is_final=True),
    ]


@pytest.mark.parametrize(
    ("protection", "names"),
    [
        (Protection.BOTH, "raw_broker fedmq t plain_raw_broker plain_fedmq p"),
        (Protection.TLS, "raw_broker fedmq t p"),
        (Protection.NONE, "t plain_raw_broker plain_fedmq p"),
    ],
)
def test_those_with_the_same_protection_stand_beside_each_other(
    protection: Protection, names: str
) -> None:
    """Every peer takes part, whatever is asked of fedmq."""
    peers = (Pretender("p", has_tls=False), Pretender("t", has_tls=True))
    found = rounds._order(LOAD, lineup(protection, *peers))
    assert [one.name for one in found] == names.split()
    without = rounds._order(LOAD, lineup(protection, *peers, with_raw=False))
    assert [one.name for one in without] == [one for one in names.split() if "raw" not in one]


def test_fedmq_is_compared_with_the_fastest_of_its_own_side() -> None:
    """And with the raw broker of its side."""
    side = rounds._SIDES[Protection.NONE][0]
    outcomes: dict[str, list[Outcome]] = {
        "plain_fedmq": [turn(2.0), turn(6.0)],
        "plain_raw_broker": [turn(1.0), turn(2.0)],
        "slow": [turn(20.0), turn(20.0)],
        "fast": [turn(4.0), turn(12.0)],
    }
    found = rounds._compare(side, outcomes, {name: outcomes[name] for name in ("slow", "fast")})
    assert found["plain_best_peer"] == "fast"
    assert found["plain_round_over_best_peer"] == 0.5
    assert found["plain_round_over_raw_broker"] == 2.5
    assert found["plain_first_round_over_best_peer"] == 0.5


def test_without_a_folder_no_peer_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason is among the figures; it is no error."""
    monkeypatch.delenv(rounds.FOLDER_VARIABLE, raising=False)
    found = rounds._measure_peer(Pretender("p", has_tls=False), LOAD)
    assert found == Missed(why="FEDMQ_PEERS names no folder", is_final=True)


def test_a_member_of_the_raw_broker_is_told_as_json() -> None:
    """Whatever it is told is what it was told."""
    member = Member(
        login=Login(
            host="127.0.0.1",
            port=5671,
            vhost="fedmq",
            user="node-01",
            password="",
            authority="/a.pem",
            certificate="/c.pem",
            key="/k.pem",
            heartbeat_s=30,
        ),
        sizes=Sizes(payload_bytes=3, chunk_bytes=2, window=8, receive_bytes=4096),
        exchange="fedmq.tasks",
        keys=["node-01.bulk", "node-02.bulk"],
        queue="experiment.raw@orchestrator.payloads",
        arguments={"x-queue-type": "classic", "x-single-active-consumer": True},
        bindings=[["fedmq.replies", "*.raw.bulk"]],
        prefetch=8,
        num_senders=2,
        num_rounds=6,
    )
    assert read_member(json.dumps(asdict(member))) == member
