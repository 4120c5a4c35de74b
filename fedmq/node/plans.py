"""Plans: what experiments want to run here, and what the operator says of their exact bytes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fedmq.errors import ConfigurationError, PlanError
from fedmq.hub.files import replace_file
from fedmq.learning.catalogue import CATALOGUE, plan_digest, plan_source
from fedmq.messages.fields import PlanReference
from fedmq.node.policy import Decision
from fedmq.transport.journal import Journal
from fedmq.types import Digest

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS plans (
    digest TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    is_shipped INTEGER NOT NULL,
    decision TEXT NOT NULL,
    experiment TEXT NOT NULL,
    researcher TEXT NOT NULL,
    purpose TEXT NOT NULL,
    reason TEXT NOT NULL,
    changed_at REAL NOT NULL
);
"""
_MIN_PREFIX: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Who wants to run a plan, and what for."""

    experiment: str = ""
    researcher: str = ""
    purpose: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRecord:
    """A plan by its exact bytes, and what was decided on them."""

    digest: Digest
    name: str
    is_shipped: bool
    decision: Decision
    asked: Asked
    reason: str
    changed_at: float
    """Unix seconds: asked, or decided."""


class Plans:
    """The plans of one node; the command line and the service share them."""

    def __init__(self, journal: Journal, folder: Path) -> None:
        self._journal = journal
        self._folder = folder

    def all(self) -> tuple[PlanRecord, ...]:
        """Return the plans, those that await a decision first, then the newest."""
        rows = self._journal.rows(
            "SELECT digest, name, is_shipped, decision, experiment, researcher, purpose, reason,"
            " changed_at FROM plans ORDER BY decision != 'awaiting', changed_at DESC, digest"
        )
        return tuple(
            PlanRecord(
                digest=Digest(str(digest)),
                name=str(name),
                is_shipped=bool(is_shipped),
                decision=Decision(str(decision)),
                asked=Asked(
                    experiment=str(experiment), researcher=str(researcher), purpose=str(purpose)
                ),
                reason=str(reason),
                changed_at=float(changed_at or 0.0),
            )
            for (
                digest,
                name,
                is_shipped,
                decision,
                experiment,
                researcher,
                purpose,
                reason,
                changed_at,
            ) in rows
        )

    def decision(self, digest: Digest) -> Decision | None:
        """Return what the operator says of these bytes, None if nobody asked for them."""
        found = self._journal.cell("SELECT decision FROM plans WHERE digest = ?", (digest,))
        return None if found is None else Decision(str(found))

    def ask(self, plan: PlanReference, source: str | None, asked: Asked, *, now: float) -> None:
        """List a plan for the operator to decide, and keep the source that came with it."""
        if source is not None and plan_digest(source.encode()) == plan.digest:
            self._folder.mkdir(parents=True, exist_ok=True)
            replace_file(self.source_path(plan.digest), source)
        self._insert(plan.digest, plan.name, asked, is_shipped=plan.is_shipped, now=now)

    def source_path(self, digest: Digest) -> Path:
        """Return where the source of a shipped plan is kept."""
        return self._folder / f"{digest}.py"

    def source_digest(self, digest: Digest) -> Digest | None:
        """Return the digest of the source that is kept under `digest`, None where there is none."""
        try:
            return plan_digest(self.source_path(digest).read_bytes())
        except OSError:
            return None

    def source(self, record: PlanRecord) -> str:
        """Return the source of a plan, for the operator to read.

        Raises:
            PlanError: the installed plan has other bytes, or the file is gone.
        """
        try:
            if record.is_shipped:
                content = self.source_path(record.digest).read_bytes()
            else:
                content = plan_source(record.name)
        except OSError as error:
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

        Raises:
            ConfigurationError: it names none, or several.
        """
        self._list_catalogue(word)
        matches = [
            record
            for record in self.all()
            if record.name == word or (len(word) >= _MIN_PREFIX and record.digest.startswith(word))
        ]
        if len(matches) == 1:
            return matches[0]
        if matches:
            digests = ", ".join(record.digest[:12] for record in matches)
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

    def decide(self, record: PlanRecord, decision: Decision, reason: str, *, now: float) -> None:
        """Note what the operator says of exactly these bytes."""
        self._journal.execute(
            "UPDATE plans SET decision = ?, reason = ?, changed_at = ? WHERE digest = ?",
            (decision, reason, now, record.digest),
        )

    def _list_catalogue(self, word: str) -> None:
        """A plan of the catalogue can be decided on before anybody asks for it."""
        if word in CATALOGUE:
            digest = plan_digest(plan_source(word))
            self._insert(digest, word, Asked(), is_shipped=False, now=0.0)

    def _insert(
        self, digest: Digest, name: str, asked: Asked, *, is_shipped: bool, now: float
    ) -> None:
        self._journal.execute(
            "INSERT INTO plans VALUES (?, ?, ?, ?, ?, ?, ?, '', ?) ON CONFLICT DO UPDATE SET"
            " experiment = excluded.experiment, researcher = excluded.researcher,"
            " purpose = excluded.purpose WHERE excluded.experiment != ''",
            (
                digest,
                name,
                is_shipped,
                Decision.AWAITING,
                asked.experiment,
                asked.researcher,
                asked.purpose,
                now,
            ),
        )


def installed_digest(name: str) -> Digest | None:
    """Return the digest of the catalogue's plan of this name, None where it is not installed."""
    try:
        return plan_digest(plan_source(name))
    except PlanError:
        return None
