"""Plans: what experiments want to run here, and what the operator says of their exact bytes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import Field

from fedmq.audit.log import AuditLog
from fedmq.disk import Disk
from fedmq.errors import ConfigurationError, PlanError, StorageError
from fedmq.learning.catalogue import CATALOGUE, plan_digest, plan_source
from fedmq.messages.fields import (
    MAX_SOURCE_BYTES,
    Config,
    DictionaryReference,
    PlanReference,
    Study,
    Value,
)
from fedmq.messages.mandates import Mandate
from fedmq.node.approvals import Agreement, Approvals
from fedmq.node.audit_words import plan_decision_of
from fedmq.node.policy import Decision
from fedmq.node.terms import Terms
from fedmq.transport.journal import Cell, Journal
from fedmq.types import Digest

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS plans (
    digest TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    is_shipped INTEGER NOT NULL,
    decision TEXT NOT NULL,
    reason TEXT NOT NULL DEFAULT '',
    asked_at REAL,
    decided_at REAL
);
CREATE TABLE IF NOT EXISTS askings (
    digest TEXT NOT NULL,
    experiment TEXT NOT NULL,
    asked TEXT NOT NULL,
    at REAL NOT NULL,
    PRIMARY KEY (digest, experiment)
);
"""
_COLUMNS: Final = (
    "digest, name, is_shipped, decision, reason, asked_at, decided_at,"
    " (SELECT asked FROM askings WHERE askings.digest = plans.digest"
    " ORDER BY askings.at DESC, askings.rowid DESC LIMIT 1)"
)
_MIN_PREFIX: Final = 6
"""Digits of a digest that may stand for it."""


class Asked(Value):
    """Who wants to run a plan, on what, and what for: an order, as an operator looks at it."""

    experiment: str = ""
    researcher: str = ""
    purpose: str = ""
    dataset: str = ""
    dictionary: str = ""
    """By which the dataset is to be read: name, version, digest; empty: by any."""
    study: Study | None = None
    config: Config = Field(default_factory=dict)
    num_rounds: int = 0
    quorum: int = 0
    updates: str = ""
    """How they travel."""
    models: str = ""
    """How they travel to the node."""
    code: str = ""
    """Why it waits; empty where it does not."""
    signed_by: str = ""
    """Whose signature the order carries; empty in federations without keys."""
    mandate: Mandate | None = None
    """What was signed, word for word."""


def asked_by(mandate: Mandate) -> Asked:
    """Return what a mandate asks for; that it was signed has been looked at before."""
    order = mandate.order
    spec = order.spec
    return Asked(
        experiment=order.experiment,
        researcher=order.researcher,
        purpose=spec.purpose,
        dataset=spec.dataset,
        study=spec.study,
        config=spec.config,
        num_rounds=spec.num_rounds,
        quorum=spec.quorum,
        updates="" if spec.encoding is None else str(spec.encoding),
        models=spec.model_encoding,
        dictionary=_dictionary_words(spec.dictionary),
        signed_by=order.researcher if mandate.signature else "",
        mandate=mandate,
    )


def _dictionary_words(asked: DictionaryReference | None) -> str:
    return "" if asked is None else f"{asked.name} {asked.version} {asked.digest}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRecord:
    """A plan by its exact bytes, and what was decided on them."""

    digest: Digest
    name: str
    is_shipped: bool
    decision: Decision
    asked: Asked
    """The newest that asked; empty where nobody did."""
    reason: str
    asked_at: float | None
    """Unix seconds."""
    decided_at: float | None

    @property
    def changed_at(self) -> float:
        """When something happened to it last."""
        return max(self.asked_at or 0.0, self.decided_at or 0.0)


class Plans:
    """The plans of one node; the command line and the service share them."""

    def __init__(self, journal: Journal, disk: Disk, audit: AuditLog) -> None:
        self.approvals = Approvals(journal)
        self._journal = journal
        self._disk = disk
        self._audit = audit

    def all(self) -> tuple[PlanRecord, ...]:
        """Return the plans, those that await a decision first, then the newest."""
        rows = self._journal.rows(f"SELECT {_COLUMNS} FROM plans")  # noqa: S608 - own names
        return tuple(
            sorted(
                map(_record, rows),
                key=lambda plan: (
                    plan.decision is not Decision.AWAITING,
                    -plan.changed_at,
                    plan.digest,
                ),
            )
        )

    def decision(self, digest: Digest) -> Decision | None:
        """Return what the operator says of these bytes, None if nobody asked for them."""
        found = self._journal.cell("SELECT decision FROM plans WHERE digest = ?", (digest,))
        return None if found is None else Decision(str(found))

    def ask(self, plan: PlanReference, source: str | None, asked: Asked, *, now: float) -> None:
        """List a plan for the operator to decide on, with the source that came with it.

        Bytes that are not here, or not those of the digest, cannot be decided on: nothing happens.
        Nor does it where the same experiment asked on behalf of another, or for other data: what an
        operator has read is not exchanged under its name.
        """
        is_here = self.found_digest(plan, source) == plan.digest
        if is_here and not self._is_exchanged(plan.digest, asked):
            if plan.is_shipped and source is not None:
                self._keep_source(plan.digest, source)
            self._insert(plan.digest, plan.name, is_shipped=plan.is_shipped)
            self._journal.execute(
                "UPDATE plans SET asked_at = ? WHERE digest = ?", (now, plan.digest)
            )
            self._journal.execute(
                "INSERT OR REPLACE INTO askings VALUES (?, ?, ?, ?)",
                (plan.digest, asked.experiment, asked.model_dump_json(), now),
            )

    def await_approval(self, digest: Digest, experiment: str, code: str) -> None:
        """Note that an experiment waits for a decision, and why; a rejection stays one."""
        self._journal.execute(
            "UPDATE plans SET decision = ? WHERE digest = ? AND decision = ?",
            (Decision.AWAITING, digest, Decision.APPROVED),
        )
        self.note_waiting(digest, experiment, code)

    def note_waiting(self, digest: Digest, experiment: str, code: str) -> None:
        """Note why an experiment waits, empty where it does not any more."""
        self._journal.execute(
            "UPDATE askings SET asked = json_set(asked, '$.code', ?)"
            " WHERE digest = ? AND experiment = ?",
            (code, digest, experiment),
        )

    def askings(self, digest: Digest) -> tuple[Asked, ...]:
        """Return all that asked for a plan, the newest first."""
        rows = self._journal.rows(
            "SELECT asked FROM askings WHERE digest = ? ORDER BY at DESC, rowid DESC", (digest,)
        )
        return tuple(Asked.model_validate_json(str(row[0])) for row in rows)

    def found_digest(self, plan: PlanReference, source: str | None = None) -> Digest | None:
        """Return the digest of the bytes that are here for a plan, None where there are none.

        Of a shipped plan these are the `source` that comes with it, or those that were kept.
        """
        try:
            if plan.is_shipped and source is not None:
                return plan_digest(source.encode())
            if plan.is_shipped:
                return plan_digest(self._read(plan.digest))
            return plan_digest(plan_source(plan.name))
        except (StorageError, PlanError):
            return None

    def source_path(self, digest: Digest) -> Path:
        """Return where the source of a plan is kept.

        A shipped one is there since it came, one of the catalogue since it was approved.
        """
        return self._disk.path(f"{digest}.py")

    def source(self, record: PlanRecord) -> str:
        """Return the source of a plan, for the operator to read: as it was kept, else as installed.

        Raises:
            PlanError: neither has the bytes of the digest.
        """
        kept = self._kept(record.digest)
        return self.source_to_run(record) if kept is None else kept.decode()

    def source_to_run(self, record: PlanRecord) -> str:
        """Return the source that would run, the only one that may be approved.

        Raises:
            PlanError: the installed plan has other bytes, or the file is gone.
        """
        try:
            content = self._read(record.digest) if record.is_shipped else plan_source(record.name)
        except StorageError as error:
            raise PlanError(f"the source of {record.name} is not here any more") from error
        if plan_digest(content) != record.digest:
            raise PlanError(
                f"{record.name} has other bytes than those that were asked for",
                why="another version of fedmq is installed here",
                fix="install the version that the experiment uses, or reject the plan",
            )
        return content.decode()

    def find(self, word: str) -> PlanRecord:
        """Return the plan that `word` names: a name, or the beginning of a digest.

        A plan of the catalogue can be named before anybody asks for it.

        Raises:
            ConfigurationError: it names none, or several.
        """
        if word in CATALOGUE:
            self._insert(plan_digest(plan_source(word)), word, is_shipped=False)
        matches = [
            plan
            for plan in self.all()
            if plan.name == word or (len(word) >= _MIN_PREFIX and plan.digest.startswith(word))
        ]
        if len(matches) == 1:
            return matches[0]
        if matches:
            digests = ", ".join(plan.digest[:12] for plan in matches)
            raise ConfigurationError(
                f"{len(matches)} plans are called {word}",
                why=f"they differ in their bytes: {digests}",
                fix="name one by its digest",
            )
        raise ConfigurationError(
            f"there is no plan {word}",
            why=f"nobody asked for it, and the catalogue has {', '.join(sorted(CATALOGUE))}",
            fix="fedmq node plans list",
        )

    def approve(
        self, record: PlanRecord, terms: Terms, person: str, *, needed: int, now: float
    ) -> Agreement:
        """A person agrees that exactly these bytes run on these terms; return who agrees now.

        The plan is approved once as many persons agree as are `needed`. Its source stays here, for
        what comes after it to be compared with.

        Raises:
            PlanError: these bytes are not here to be run.
        """
        source = self.source_to_run(record)
        if self._kept(record.digest) is None:
            self._keep_source(record.digest, source)
        with self._journal.transaction():
            agreement = self.approvals.add(record.digest, terms, person, now=now)
            is_enough = len(agreement.persons) >= needed
            decision = Decision.APPROVED if is_enough else Decision.AWAITING
            self._decide(record, decision, "", by=person, now=now, terms=terms)
        return agreement

    def reject(self, record: PlanRecord, reason: str, *, now: float) -> PlanRecord:
        """These bytes may not run here, not even where they were approved; return the plan.

        The reason stays on the site.
        """
        with self._journal.transaction():
            self.approvals.revoke(record.digest, now=now)
            self._decide(record, Decision.REJECTED, reason, by=self._audit.by, now=now)
        return self.find(record.digest)

    def last_approved(self, record: PlanRecord) -> PlanRecord | None:
        """Return the other bytes of the same name that were approved last, None if none were."""
        others = {one.digest: one for one in self.all() if one.name == record.name}
        others.pop(record.digest, None)
        ever = [one.digest for one in self.approvals.all_ever() if one.digest in others]
        return others[ever[-1]] if ever else None

    def _decide(
        self,
        record: PlanRecord,
        decision: Decision,
        reason: str,
        *,
        by: str,
        now: float,
        terms: Terms | None = None,
    ) -> None:
        self._journal.execute(
            "UPDATE plans SET decision = ?, reason = ?, decided_at = ? WHERE digest = ?",
            (decision, reason, now, record.digest),
        )
        if decision is Decision.APPROVED:
            self._journal.execute(
                "UPDATE askings SET asked = json_set(asked, '$.code', '') WHERE digest = ?",
                (record.digest,),
            )
        self._audit.note(plan_decision_of(record.digest, record.name, decision, terms, by=by))

    def _read(self, digest: Digest) -> bytes:
        return self._disk.read(self.source_path(digest).name, 0, MAX_SOURCE_BYTES + 1)

    def _is_exchanged(self, digest: Digest, asked: Asked) -> bool:
        return any(
            (one.researcher, one.study, one.dataset)
            != (asked.researcher, asked.study, asked.dataset)
            for one in self.askings(digest)
            if one.experiment == asked.experiment
        )

    def _kept(self, digest: Digest) -> bytes | None:
        try:
            content = self._read(digest)
        except StorageError:
            return None
        return content if plan_digest(content) == digest else None

    def _keep_source(self, digest: Digest, source: str) -> None:
        """Keep the source, whole after a crash too."""
        name = self.source_path(digest).name
        passing = f"{name}.new"
        self._disk.remove(passing)
        self._disk.write(passing, 0, source.encode())
        self._disk.sync(passing)
        self._disk.rename(passing, name)
        self._disk.sync_names()

    def _insert(self, digest: Digest, name: str, *, is_shipped: bool) -> None:
        self._journal.execute(
            "INSERT OR IGNORE INTO plans (digest, name, is_shipped, decision) VALUES (?, ?, ?, ?)",
            (digest, name, is_shipped, Decision.AWAITING),
        )


def _record(row: tuple[Cell, ...]) -> PlanRecord:
    digest, name, is_shipped, decision, reason, asked_at, decided_at, asked = row
    return PlanRecord(
        digest=Digest(str(digest)),
        name=str(name),
        is_shipped=bool(is_shipped),
        decision=Decision(str(decision)),
        asked=Asked() if asked is None else Asked.model_validate_json(str(asked)),
        reason=str(reason),
        asked_at=None if asked_at is None else float(asked_at),
        decided_at=None if decided_at is None else float(decided_at),
    )
