"""A dictionary as a study would write it, and cases with rows."""

from collections.abc import Mapping
from typing import Any

from fedmq.imaging.cases import Case
from fedmq.imaging.dictionary.model import Dictionary

LUNG: dict[str, Any] = {
    "name": "lung-io",
    "version": "1.0",
    "variables": {
        "age": {"type": "number", "unit": "years", "range": [18, 110], "required": True},
        "sex": {
            "type": "category",
            "codes": ["F", "M"],
            "spellings": {"F": ["female", "2"], "M": ["male", "1"]},
            "columns": ["Geschlecht", "sexe"],
        },
        "ecog": {"type": "integer", "range": [0, 4]},
        "weight": {"type": "number", "unit": "kg", "range": [25, 300]},
        "pfs": {"type": "number", "unit": "months", "range": [0, 240], "median": [1, 36]},
        "progressed": {"type": "flag", "spellings": {"yes": ["oui"], "no": ["non"]}},
    },
    "endpoint": {"time": "pfs", "event": "progressed", "time_zero": "first infusion"},
    "baseline": {"window_days": [-42, 0]},
}


def lung(**changes: Any) -> Dictionary:  # noqa: ANN401 - parts of a dictionary
    """Return the dictionary, with other parts."""
    return Dictionary.model_validate({**LUNG, **changes})


def a_case(number: int, cells: Mapping[str, str]) -> Case:
    """Return a case with a row."""
    return Case(case_id=f"case-{number}", volumes={}, clinical=dict(cells))


def row(**changes: str) -> dict[str, str]:
    """Return a row as the dictionary wants it, with other cells."""
    cells = {"age": "64", "sex": "F", "ecog": "1", "weight": "70", "pfs": "9,5"}
    return {**cells, "progressed": "1", **changes}
