"""What was found in a dataset, case by case, in words."""

from typing import TYPE_CHECKING

from fedmq.cli.console import show
from fedmq.cli.contents_words import show_contents, show_counts
from fedmq.cli.words import count

if TYPE_CHECKING:
    from fedmq.imaging.dictionary.columns import Matching
    from fedmq.node.inspection import Inspection


def show_inspection(name: str, inspection: "Inspection") -> None:
    """Print what is wrong, then what there is; what only some cases lack is no fault, but told."""
    for finding in inspection.findings:
        show(f"{finding.case_id}: {finding.code}: {finding.text}")
    num_cases = count(len(inspection.cases), "case")
    show(f"{name}: {num_cases}, {inspection.num_sound} without a finding")
    if inspection.matching is not None:
        _show_matching(inspection.matching)
    show_counts(inspection)
    show_contents(inspection)


def _show_matching(matching: "Matching") -> None:
    """Print which column is which variable, what is missing, and what no plan sees."""
    for name, column in matching.columns.items():
        unit = matching.units[name]
        show(f"  {name:<20}column {column}" + (f", in {unit}" if unit else ""))
    if matching.missing:
        show(f"  without a column: {', '.join(matching.missing)}")
    if matching.unused:
        show(f"  not in the dictionary, so no plan sees them: {', '.join(matching.unused)}")
