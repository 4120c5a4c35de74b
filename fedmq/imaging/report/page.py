"""The page: one HTML file for a dataset, made a case at a time, in its place when it is whole.

It loads nothing from anywhere and runs no script. It shows patients, so that only its owner may
read it.
"""

import contextlib
import os
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self, cast

from fedmq import __version__
from fedmq.errors import StorageError
from fedmq.imaging.cases import Case
from fedmq.imaging.findings import Finding
from fedmq.imaging.report.facts import CaseFacts, facts_of
from fedmq.imaging.report.pictures import draw_case
from fedmq.imaging.report.sections import (
    case_section,
    index_table,
    odd_list,
    summary_table,
)
from fedmq.imaging.report.site import doubts_of_site
from fedmq.imaging.report.style import POLICY, STYLE
from fedmq.imaging.volumes import Volume

_STAYS: Final = (
    "This page shows patients. It stays on this site: do not send it, and do not put it where "
    "others can read it. fedmq sends nothing of it anywhere."
)
_UNSEEN: Final = (
    "In the pictures uptake is the highest on the way through the patient, black from SUV 10 on "
    "(in a PET on another scale: at its highest value); the CT is its mean on that way; the orange "
    "line is around the mask. Whether left and right are exchanged cannot be seen here, and "
    "is told by no check unless a file itself says both: compare one patient of each scanner with "
    "the reading room."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """Where a case's section stands in the file of parts, and what was found in the case."""

    facts: CaseFacts
    findings: tuple[Finding, ...]
    offset: int
    size_bytes: int


class CheckPage:
    """The page of one dataset while it is made; whoever leaves without `finish` leaves no file."""

    def __init__(self, place: Path, dataset: str) -> None:
        """Begin it beside its place.

        Raises:
            StorageError: the folder is not there, or cannot be written.
        """
        self._place = place
        self._dataset = dataset
        self._parts: list[_Part] = []
        try:
            # The system gives a file without a name, which is gone with this process.
            self._file = cast("BinaryIO", tempfile.TemporaryFile(dir=place.parent))  # noqa: SIM115
        except OSError as error:
            raise _fault(place, error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def add(self, case: Case, volumes: Mapping[str, Volume], findings: Sequence[Finding]) -> None:
        """Draw a case.

        Raises:
            StorageError: the disk refuses.
        """
        unfit = {modality for finding in findings for modality in finding.spoils}
        facts = facts_of(case, volumes, unfit)
        section = case_section(len(self._parts) + 1, facts, draw_case(volumes), findings)
        content = section.encode("utf-8", "replace")
        try:
            offset = self._file.tell()
            self._file.write(content)
        except OSError as error:
            raise _fault(self._place, error) from error
        self._parts.append(
            _Part(facts=facts, findings=tuple(findings), offset=offset, size_bytes=len(content))
        )

    def doubts(self) -> tuple[Finding, ...]:
        """Return what is odd about cases beside the others that were drawn."""
        found = [finding for part in self._parts for finding in part.findings]
        return doubts_of_site([part.facts for part in self._parts], found)

    def finish(self, *, made_at: str, without: Collection[str] = ()) -> None:
        """Put the page in its place, but for the cases `without`; `made_at` is the time in words.

        Raises:
            StorageError: the disk refuses; what was in its place is still there.
        """
        parts = [part for part in self._parts if part.facts.case_id not in without]
        new = self._place.with_name(f".{self._place.name}.new")
        try:
            new.unlink(missing_ok=True)
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(self._head(parts, made_at).encode("utf-8", "replace"))
                for part in parts:
                    self._file.seek(part.offset)
                    file.write(self._file.read(part.size_bytes))
                file.write(b"\n</main></body></html>\n")
                file.flush()
                os.fsync(file.fileno())
            new.replace(self._place)
        except OSError as error:
            with contextlib.suppress(OSError):
                new.unlink(missing_ok=True)
            raise _fault(self._place, error) from error

    def _head(self, parts: Sequence[_Part], made_at: str) -> str:
        facts = [part.facts for part in parts]
        findings = [finding for part in parts for finding in part.findings]
        findings += doubts_of_site(facts, findings)
        # The numbers are those of the sections, which stand as they were drawn.
        numbers = {part.facts.case_id: n for n, part in enumerate(self._parts, start=1)}
        odd = [
            (numbers[finding.case_id], finding)
            for finding in sorted(findings, key=lambda one: (one.is_doubt, one.case_id))
        ]
        name = escape(self._dataset)
        return "\n".join(
            (
                '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">',
                f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
                '<meta name="viewport" content="width=device-width, initial-scale=1">',
                '<meta name="referrer" content="no-referrer">',
                f"<title>Checks of {name}</title><style>{STYLE}</style></head><body><main>",
                f'<p class="stays"><strong>{escape(_STAYS)}</strong></p>',
                f"<h1>Checks of {name}</h1>",
                f'<p class="soft">{escape(made_at)}, fedmq {escape(__version__)}</p>',
                "<h2>What is odd</h2>",
                odd_list(odd) or "<p>Nothing was found.</p>",
                f"<h2>The dataset</h2>{summary_table(facts, findings)}",
                f"<h2>Cases</h2><p>{escape(_UNSEEN)}</p>",
                index_table(facts, findings, [numbers[one.case_id] for one in facts]),
                "",
            )
        )


def _fault(place: Path, error: OSError) -> StorageError:
    return StorageError(
        f"the page {place.name} cannot be written",
        why=os.strerror(error.errno) if error.errno else "",
        fix="give --html a file in a folder that is there, or free space",
    )
