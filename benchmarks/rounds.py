"""Rounds of training: fedmq, the raw broker and other systems in turns, in one run.

Each turn measures everybody once, from the start of its processes to their end, so that nobody
runs beside another, and ratios are of the same turn. What stands beside each other in the order is
compared with each other; who is first changes from turn to turn.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks import raw_broker, training
from benchmarks.comparison import (
    Figures,
    Load,
    Missed,
    Outcome,
    Turn,
    fastest,
    first_round_ratio,
    spread_of_ratios,
    summarise,
)
from benchmarks.peers.catalogue import Peer
from benchmarks.progress import say
from benchmarks.training import Training
from benchmarks.ways import PLAIN, PROTECTED, Way
from fedmq.errors import FedmqError

FOLDER_VARIABLE: Final = "FEDMQ_PEERS"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """Somebody who takes part, and how it is measured."""

    name: str
    measure: Callable[[], Outcome]


class Protection(StrEnum):
    """How fedmq's messages travel: as they do, or without TLS, signatures and seals."""

    TLS = "tls"
    NONE = "none"
    BOTH = "both"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineup:
    """Who takes part, and how often."""

    training: Training
    encoding: str
    """How fedmq's updates travel; the others send theirs as they are."""
    protection: Protection
    peers: tuple[Peer, ...]
    with_raw: bool
    """Whether the raw broker takes part."""
    num_turns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Side:
    """What is compared with each other, since it has TLS or since it has none."""

    has_tls: bool
    way: Way
    prefix: str
    """Of its figures."""

    @property
    def own(self) -> str:
        """The name of fedmq as a contender."""
        return f"{self.prefix}fedmq"

    @property
    def raw(self) -> str:
        """The name of the raw broker as a contender."""
        return f"{self.prefix}raw_broker"


_TLS: Final = _Side(has_tls=True, way=PROTECTED, prefix="")
_OPEN: Final = _Side(has_tls=False, way=PLAIN, prefix="plain_")
_SIDES: Final = {
    Protection.TLS: (_TLS,),
    Protection.NONE: (_OPEN,),
    Protection.BOTH: (_TLS, _OPEN),
}


def measure(load: Load, lineup: Lineup) -> Figures:
    """Return the figures of all, and the ratios of those with the same protection.

    Raises:
        FedmqError: fedmq itself could not be measured.
    """
    sides = _SIDES[lineup.protection]
    outcomes = _take_turns(_order(load, lineup), lineup.num_turns)
    figures: Figures = {
        "nodes": load.num_nodes,
        **({"mb": load.mb} if lineup.training.has_size else {}),
        "rounds": load.num_rounds,
        "turns": lineup.num_turns,
        "training": lineup.training.work.plan,
        "encoding": lineup.encoding,
        "load_average": round(os.getloadavg()[0], 1),
    }
    for side in sides:
        theirs = [peer.name for peer in lineup.peers if peer.has_tls == side.has_tls]
        figures |= _compare(side, outcomes, {name: outcomes[name] for name in theirs})
        for peer in lineup.peers:
            figures |= _ratio(
                f"{side.prefix}round_over_{_key(peer.name)}",
                outcomes[side.own],
                outcomes[peer.name],
            )
    for peer in lineup.peers:
        figures |= summarise(f"{_key(peer.name)}_", outcomes[peer.name])
    return figures


def _order(load: Load, lineup: Lineup) -> list[Contender]:
    """Return the contenders as they follow each other, those with TLS first."""
    contenders = []
    for side in (_TLS, _OPEN):
        if side in _SIDES[lineup.protection]:
            raw = partial(raw_broker.measure, load, has_tls=side.has_tls)
            own = partial(training.measure, load, side.way, lineup.training, lineup.encoding)
            if lineup.with_raw:
                contenders.append(Contender(name=side.raw, measure=raw))
            contenders.append(Contender(name=side.own, measure=own))
        contenders += [
            Contender(name=peer.name, measure=partial(_measure_peer, peer, load))
            for peer in lineup.peers
            if peer.has_tls == side.has_tls
        ]
    return contenders


def _take_turns(contenders: list[Contender], num_turns: int) -> dict[str, list[Outcome]]:
    outcomes: dict[str, list[Outcome]] = {one.name: [] for one in contenders}
    for turn in range(num_turns):
        shift = turn % len(contenders)
        for one in contenders[shift:] + contenders[:shift]:
            outcomes[one.name].append(_measure_one(one, outcomes[one.name], turn + 1))
    return outcomes


def _measure_peer(peer: Peer, load: Load) -> Outcome:
    folder = os.environ.get(FOLDER_VARIABLE)
    if not folder:
        return Missed(why=f"{FOLDER_VARIABLE} names no folder", is_final=True)
    return peer.measure(Path(folder).absolute(), load)


def _measure_one(contender: Contender, earlier: list[Outcome], turn: int) -> Outcome:
    """Return what one does in this turn; who could not earlier is not asked again."""
    if earlier and isinstance(earlier[-1], Missed) and earlier[-1].is_final:
        return earlier[-1]
    try:
        outcome = contender.measure()
    except FedmqError:
        say(f"turn {turn}, {contender.name}: the measurement itself failed")
        raise
    match outcome:
        case Turn():
            rounds = ", ".join(f"{second:.3f}" for second in outcome.round_s)
            first = outcome.first_round_s
            start = "" if first is None else f"; first round {first:.2f} s from a cold start"
            say(f"turn {turn}, {contender.name}: {rounds} s a round{start}")
        case Missed():
            say(f"turn {turn}, {contender.name}: not measured: {outcome.why}")
    return outcome


def _compare(
    side: _Side, outcomes: dict[str, list[Outcome]], theirs: dict[str, list[Outcome]]
) -> Figures:
    """Return the figures of fedmq and of the raw broker, and the ratios on one side."""
    own = outcomes[side.own]
    figures = summarise(side.prefix, own)
    if side.raw in outcomes:
        figures |= summarise(f"{side.raw}_", outcomes[side.raw])
        figures |= _ratio(f"{side.prefix}round_over_raw_broker", own, outcomes[side.raw])
    best = fastest(theirs)
    if best is not None:
        figures[f"{side.prefix}best_peer"] = best
        figures |= _ratio(f"{side.prefix}round_over_best_peer", own, theirs[best])
        first = first_round_ratio(own, theirs)
        figures[f"{side.prefix}first_round_over_best_peer"] = first
    return figures


def _ratio(name: str, ours: list[Outcome], theirs: list[Outcome]) -> Figures:
    found = spread_of_ratios(ours, theirs)
    return {} if found is None else found.figures(name)


def _key(name: str) -> str:
    return name.replace("-", "_")
