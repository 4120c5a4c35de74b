"""The list of faults, row by row: the tests of `tests/faults`, again and again, and how they ended.

A test passes only where everybody came back and the models are those that they must be; those that
have a moment from which a fault is over tell how long it took from there to the experiment's end.
"""

import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree as ET

from benchmarks.progress import say

_TREE = Path(__file__).parents[1]


@dataclass(slots=True)
class Row:
    """What the tests of one row told, all runs together."""

    tried: int = 0
    survived: int = 0
    back_s: list[float] = field(default_factory=list)
    tests: set[str] = field(default_factory=set)

    def figures(self) -> dict[str, object]:
        """Return them for people and programs."""
        ordered = sorted(self.back_s)
        return {
            "tests": len(self.tests),
            "tried": self.tried,
            "survived": self.survived,
            **(
                {
                    "back_s_p50": round(statistics.median(ordered), 1),
                    "back_s_p95": ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))],
                    "back_s_max": ordered[-1],
                }
                if ordered
                else {}
            ),
        }


def measure(times: int) -> dict[str, object]:
    """Return for each row how often its faults were tried and survived, and the times."""
    rows: dict[str, Row] = defaultdict(Row)
    with tempfile.TemporaryDirectory(prefix="fedmq-faults-") as folder:
        for number in range(1, times + 1):
            report = Path(folder) / f"{number}.xml"
            run(report)
            read(report, rows)
            say(f"run {number} of {times}: {sum(row.survived for row in rows.values())} survived")
    tried = sum(row.tried for row in rows.values())
    survived = sum(row.survived for row in rows.values())
    return {
        "runs": times,
        "tried": tried,
        "survived": survived,
        **{
            f"row_{name.replace(', ', '_')}_{what}": figure
            for name in sorted(rows, key=_number)
            for what, figure in rows[name].figures().items()
        },
        "why": "" if tried == survived else f"{tried - survived} failed; what pytest said is above",
    }


def run(report: Path) -> None:
    """Run all tests of faults once, three at a time; pytest says what it says on stderr."""
    words = ["-m", "pytest", "tests/faults", "--all", "-q", "-n", "3", "--dist", "loadgroup"]
    family = ["-o", "junit_family=xunit1", f"--junitxml={report}"]
    subprocess.run([sys.executable, *words, *family], cwd=_TREE, stdout=sys.stderr, check=False)


def read(report: Path, rows: dict[str, Row]) -> None:
    """Add what a run told to the rows."""
    for case in ET.parse(report).iter("testcase"):  # noqa: S314 - pytest wrote it just now
        told = {one.get("name"): one.get("value", "") for one in case.iter("property")}
        row = rows[told.get("row") or "unknown"]
        row.tests.add(case.get("name", ""))
        row.tried += 1
        has_passed = not any(case.find(bad) is not None for bad in ("failure", "error", "skipped"))
        row.survived += has_passed
        if has_passed and (back_s := told.get("back_s")):
            row.back_s.append(float(back_s))


def _number(name: str) -> tuple[int, str]:
    first = name.partition(",")[0]
    return (int(first) if first.isdigit() else sys.maxsize, name)
