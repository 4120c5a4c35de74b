"""Outcomes: what became of each case, as a report that may stand beside the cases.

Nothing here names a patient, a file, a date or a region: figures, and words of fedmq's own.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Final

from fedmq.imaging.dicom.planning import Plan, Refusal, Study

SCHEMA_VERSION: Final = 1
REMOVED: Final = "removed: the archive says otherwise by now"
"""What is told of a case of an earlier import that is gone: refused, or of other files."""
_STATES: Final = {"written": "written", "kept": "written before", "refused": "refused"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one case."""

    case_id: str
    state: str
    """written; kept: it was written before, of the same content; refused."""
    code: str = ""
    why: str = ""
    fix: str = ""
    scan_day: int | None = None
    time_zero: str = ""
    taken: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    """PET, CT, MASK -> figures of what was taken."""
    notes: tuple[str, ...] = ()
    """What a person should know, though it is no fault."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """What of the study was not taken -> how many files."""
    dropped_tags: Mapping[str, int] = field(default_factory=dict)
    """Name of an element that goes nowhere -> in how many files it stood."""
    token: str = ""
    key: str = ""
    site: str = ""


def refused(study: Study, refusal: Refusal) -> Outcome:
    """Return that a case is not written."""
    return Outcome(
        case_id=study.case_id,
        state="refused",
        code=refusal.code,
        why=refusal.why,
        fix=refusal.fix,
        left_out=study.left_out,
        token=study.token,
        key=study.key,
        site=study.site,
    )


def to_json(outcome: Outcome) -> str:
    """Return an outcome as a file holds it."""
    return json.dumps({"schema_version": SCHEMA_VERSION, **asdict(outcome)}, indent=1) + "\n"


def from_json(text: str) -> Outcome | None:
    """Return the outcome that a file holds; None if it is none of this version."""
    try:
        content = json.loads(text)
        if content.pop("schema_version") != SCHEMA_VERSION:
            return None
        outcome = Outcome(**{**content, "notes": tuple(content["notes"])})
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    return outcome


def as_kept(outcome: Outcome) -> Outcome:
    """Return an outcome of an earlier run, for this one's report."""
    return replace(outcome, state="kept")


def report_json(plan: Plan, outcomes: Sequence[Outcome], removed: Sequence[str]) -> str:
    """Return the report for programs."""
    content = {
        "schema_version": SCHEMA_VERSION,
        "counts": dict(Counter(one.state for one in outcomes)),
        "cases": [_without_keys(one) for one in outcomes],
        "files_in_no_case": dict(sorted(plan.left_out.items())),
        "removed_cases": list(removed),
    }
    return json.dumps(content, indent=1) + "\n"


def report_text(plan: Plan, outcomes: Sequence[Outcome], removed: Sequence[str]) -> str:
    """Return the report for people."""
    counts = Counter(one.state for one in outcomes)
    told = [f"{name} {counts[state]}" for state, name in _STATES.items()]
    lines = ["DICOM import", "", ", ".join(told)]
    lines += [f"{case_id}: {REMOVED}" for case_id in removed]
    for kind, number in sorted(plan.left_out.items()):
        lines.append(f"in no case: {kind}: {_files(number)}")
    for one in outcomes:
        lines += ["", *_case_lines(one)]
    tags: Counter[str] = Counter()
    for one in outcomes:
        tags.update(one.dropped_tags)
    if tags:
        lines += ["", "elements that went nowhere, and in how many files they stood:"]
        lines += [f"  {name} {number}" for name, number in sorted(tags.items())]
    return "\n".join(lines) + "\n"


def _case_lines(one: Outcome) -> list[str]:
    if one.state == "refused":
        lines = [f"{one.case_id}: refused: {one.code}: {one.why}"]
        if one.fix:
            lines.append(f"  fix: {one.fix}")
    else:
        when = "" if one.scan_day is None else f", day {one.scan_day} from {one.time_zero}"
        lines = [f"{one.case_id}: {one.state}{when}"]
    for modality, figures in one.taken.items():
        told = ", ".join(f"{name} {value}" for name, value in figures.items() if value is not None)
        lines.append(f"  {modality}: {told}")
    lines += [f"  note: {note}" for note in one.notes]
    lines += [f"  left out: {kind}: {_files(number)}" for kind, number in one.left_out.items()]
    return lines


def _files(number: int) -> str:
    return "1 file" if number == 1 else f"{number} files"


def _without_keys(one: Outcome) -> dict[str, object]:
    content = asdict(one)
    return {name: value for name, value in content.items() if name not in {"token", "key", "site"}}
