"""Who was measured in rounds, and how their figures are named in a line."""

from dataclasses import dataclass
from typing import Final

from benchmarks.page.figures import Kind, Row
from benchmarks.page.lines import Line, key_of
from benchmarks.peers.catalogue import PEERS

_WITH_TLS: Final = "With TLS"
_WITHOUT: Final = "Without TLS"
_LABELS: Final = {
    "fedbiomed": "Fed-BioMed",
    "flare": "FLARE",
    "flower-legacy": "Flower legacy",
    "flower": "Flower",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """Somebody with figures in a line."""

    label: str
    prefix: str
    """Of its figures."""
    kind: Kind
    group: str

    def row(self, line: Line, figure: str, *, has_quartiles: bool = False) -> Row:
        """Return its row; without a value, and with the reason, where the line has none."""
        name = f"{self.prefix}{figure}"
        value = line.number(name)
        return Row(
            label=self.label,
            group=self.group,
            kind=self.kind,
            value=value,
            low=line.number(f"{name}_low") if has_quartiles else None,
            high=line.number(f"{name}_high") if has_quartiles else None,
            note=self.why_missing(line) if value is None else line.text(f"{self.prefix}note"),
        )

    def was_measured(self, line: Line) -> bool:
        """Whether the line has its rounds."""
        return line.number(f"{self.prefix}round_s") is not None

    def why_missing(self, line: Line) -> str:
        """Return why it has no figures."""
        why = line.text(f"{self.prefix}not_measured")
        if not why or why.startswith("did not fit"):
            return why or "not measured"
        return f"not measured: {why}"


def _side(*, has_tls: bool) -> tuple[Contender, ...]:
    group, prefix = (_WITH_TLS, "") if has_tls else (_WITHOUT, "plain_")
    peers = (
        Contender(
            label=_LABELS.get(peer.name, peer.name),
            prefix=f"{key_of(peer.name)}_",
            kind=Kind.PEER,
            group=group,
        )
        for peer in PEERS
        if peer.has_tls == has_tls
    )
    return (
        Contender(label="fedmq", prefix=prefix, kind=Kind.OWN, group=group),
        Contender(label="raw broker", prefix=f"{prefix}raw_broker_", kind=Kind.LIMIT, group=group),
        *peers,
    )


CONTENDERS: Final = _side(has_tls=True) + _side(has_tls=False)
OWN: Final = tuple(one for one in CONTENDERS if one.kind is Kind.OWN)
SYSTEMS: Final = tuple(one for one in CONTENDERS if one.kind is not Kind.LIMIT)
"""All that train, so that they have memory and a start; the raw broker has neither."""


def lineup_of(line: Line) -> tuple[str, ...]:
    """Return who was measured."""
    return tuple(one.prefix for one in CONTENDERS if one.was_measured(line))
