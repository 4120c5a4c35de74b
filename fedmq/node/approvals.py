"""Approvals: who agreed to which terms for a plan's bytes, and the rounds that began under them."""

import json
from dataclasses import dataclass
from typing import Final

from fedmq.messages.envelope import Envelope
from fedmq.messages.requests import TrainRequest
from fedmq.node.hours import day_began_at, day_ends_at, local_day
from fedmq.node.policy import Policy
from fedmq.node.terms import Approval, Request, Terms
from fedmq.transport.journal import Cell, Journal
from fedmq.types import Digest

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS approvals (
    digest TEXT NOT NULL,
    terms TEXT NOT NULL,
    person TEXT NOT NULL,
    at REAL NOT NULL,
    revoked_at REAL,
    PRIMARY KEY (digest, terms, person)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS begun_rounds (
    experiment TEXT NOT NULL,
    round INTEGER NOT NULL,
    digest TEXT NOT NULL,
    researcher TEXT NOT NULL,
    dataset TEXT NOT NULL,
    at REAL NOT NULL,
    PRIMARY KEY (experiment, round)
) WITHOUT ROWID;
"""
_DAY_S: Final = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """A person's agreement."""

    person: str
    at: float
    """Unix seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Terms for a plan, and everybody who agreed to exactly these."""

    digest: Digest
    terms: Terms
    signatures: tuple[Signature, ...]
    """The first that came first."""

    @property
    def persons(self) -> tuple[str, ...]:
        """Who agreed; nobody twice."""
        return tuple(one.person for one in self.signatures)

    @property
    def at(self) -> float:
        """When the last of them agreed."""
        return max(one.at for one in self.signatures)


class Approvals:
    """The approvals of one node; what was revoked stays on record."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def add(self, digest: Digest, terms: Terms, person: str, *, now: float) -> Agreement:
        """Note that a person agrees; return all who agree to the same."""
        self._journal.execute(
            "INSERT INTO approvals VALUES (?, ?, ?, ?, NULL) ON CONFLICT DO UPDATE"
            " SET at = excluded.at, revoked_at = NULL WHERE revoked_at IS NOT NULL",
            (digest, terms.model_dump_json(), person, now),
        )
        return next(one for one in self.of(digest) if one.terms == terms)

    def revoke(self, digest: Digest, *, now: float) -> None:
        """Nobody agrees to anything any more for these bytes."""
        self._journal.execute(
            "UPDATE approvals SET revoked_at = ? WHERE digest = ? AND revoked_at IS NULL",
            (now, digest),
        )

    def of(self, digest: Digest) -> tuple[Agreement, ...]:
        """Return what is agreed on for a plan and was not revoked, the oldest first."""
        return self._agreements("WHERE digest = ? AND revoked_at IS NULL", (digest,))

    def all_ever(self) -> tuple[Agreement, ...]:
        """Return whatever was agreed on, what was revoked too, the oldest first."""
        return self._agreements("", ())

    def in_force(
        self, digest: Digest, policy: Policy, envelope: Envelope | None = None
    ) -> tuple[Approval, ...]:
        """Return the approvals to which enough persons agreed.

        Of the rounds that began under them that of `envelope` is not counted.
        """
        return tuple(
            Approval(
                terms=one.terms,
                last_day=last_day(one, policy),
                num_rounds=self._num_rounds(one, envelope),
            )
            for one in self.of(digest)
            if len(one.persons) >= policy.approvals_needed
        )

    # Rounds.

    def note_round(self, envelope: Envelope, request: Request, *, now: float) -> None:
        """Note that training begins; the same round once more changes nothing."""
        if isinstance(request, TrainRequest):
            self._journal.execute(
                "INSERT OR IGNORE INTO begun_rounds VALUES (?, ?, ?, ?, ?, ?)",
                (
                    envelope.experiment,
                    envelope.round,
                    request.spec.plan.digest,
                    request.researcher,
                    request.spec.dataset,
                    now,
                ),
            )

    def has_begun(self, envelope: Envelope) -> bool:
        """Return whether a round began before."""
        return bool(
            self._journal.own_rows(
                "SELECT 1 FROM begun_rounds WHERE experiment = ? AND round = ?",
                (envelope.experiment, envelope.round),
            )
        )

    def rounds_today(self, policy: Policy, envelope: Envelope, *, now: float) -> int:
        """Return how many rounds began on this local day, without that of `envelope`."""
        rows = self._journal.own_rows(
            "SELECT count(*) FROM begun_rounds WHERE at >= ? AND at < ?"
            " AND NOT (experiment = ? AND round = ?)",
            (
                day_began_at(now, policy.zone),
                # What began by a clock that was ahead is no round of today.
                day_ends_at(now, policy.zone),
                envelope.experiment,
                envelope.round,
            ),
        )
        return int(rows[0][0] or 0)

    def _num_rounds(self, agreement: Agreement, envelope: Envelope | None) -> int:
        experiment, number = ("", -1) if envelope is None else (envelope.experiment, envelope.round)
        found = self._journal.cell(
            "SELECT count(*) FROM begun_rounds WHERE digest = ? AND researcher = ? AND at >= ?"
            " AND dataset IN (SELECT value FROM json_each(?))"
            " AND NOT (experiment = ? AND round = ?)",
            (
                agreement.digest,
                agreement.terms.researcher,
                agreement.signatures[0].at,
                json.dumps(agreement.terms.datasets),
                experiment,
                number,
            ),
        )
        return int(found or 0)

    def _agreements(self, where: str, cells: tuple[Cell, ...]) -> tuple[Agreement, ...]:
        rows = self._journal.rows(
            f"SELECT digest, terms, person, at FROM approvals {where} ORDER BY at, person",  # noqa: S608 - own
            cells,
        )
        signed: dict[tuple[str, str], list[Signature]] = {}
        for digest, terms, person, at in rows:
            signature = Signature(person=str(person), at=float(at or 0.0))
            signed.setdefault((str(digest), str(terms)), []).append(signature)
        return tuple(
            Agreement(
                digest=Digest(digest),
                terms=Terms.model_validate_json(terms),
                signatures=tuple(signatures),
            )
            for (digest, terms), signatures in signed.items()
        )


def last_day(agreement: Agreement, policy: Policy) -> str:
    """Return the last day on which an approval holds, by its terms and by the policy."""
    longest = local_day(agreement.at + policy.max_approval_days * _DAY_S, policy.zone)
    return min(agreement.terms.until, longest)
