"""Tracers: FDG is known however it is written, and nothing else is taken for it."""

import pytest

from fedmq.imaging.tracers import why_not_fdg

FDG = (
    "FDG -- fluorodeoxyglucose",
    "18F-FDG",
    "18FFDG",
    "F18FDG",
    "FDG_18F",
    "[18F]FDG",
    "Fludeoxyglucose F18",
    "Fluorodésoxyglucose",
    "Fluordesoxyglukose",
    "2-deoxy-2-[18F]fluoro-D-glucose",
    "Fluorodeoxyglucose F^18^",
)
OTHERS = (
    "FDGal F18",
    "Fluoro-2-deoxy-D-galactose",
    "Fluciclovine F^18^",
    "Fluorocholine F^18^",
    "Fluoro-L-dopa F^18^",
    "Fluoromisonidazole F^18^",
    "Sodium fluoride F^18^",
    "PSMA-1007 F^18^",
    "Florbetapir F^18^",
)


@pytest.mark.parametrize("name", FDG)
def test_fdg_is_known_by_its_names_and_codes(name: str) -> None:
    """Whoever wrote it, in whichever case; beside words and codes that tell no tracer."""
    assert why_not_fdg(name, "", "") == ""
    assert why_not_fdg(name.upper(), "", "") == ""
    assert why_not_fdg(name, "C-111A1", "^18^Fluorine") == ""
    assert why_not_fdg("Solution", "C-B1031", "") == ""
    assert why_not_fdg("Solution", "of the site", name) == ""
    assert why_not_fdg("", "35321007", "Glucose F18") == ""


@pytest.mark.parametrize("name", OTHERS)
def test_another_tracer_is_none_whatever_else_says_fdg(name: str) -> None:
    """A code decides where there is one, and what disagrees with it is a contradiction."""
    assert why_not_fdg(name, "", "")
    assert why_not_fdg(name, "C-B1031", "")
    assert why_not_fdg("", "C-B1031", name)
    assert why_not_fdg("Fluorodeoxyglucose", "C-E0269", name)
    assert why_not_fdg(name, "C-B1031", "Fluorodeoxyglucose F^18^")


def test_what_tells_no_tracer_is_none() -> None:
    """Nor does a name where the code is of something that is not known here."""
    assert why_not_fdg("", " ", "")
    assert why_not_fdg("Solution", "", "")
    assert why_not_fdg("", "C-111A1", "^18^Fluorine")
    assert why_not_fdg("FDG", "126718", "Something new F^18^")
    assert why_not_fdg("FDG", "C-B1038", "")


@pytest.mark.parametrize("part", ["F", "1", "FLU", "DEOXY", "FDG"])
def test_a_name_of_any_length_is_read_in_one_go(part: str) -> None:
    """Headers are hostile: nothing tries each place from each place."""
    assert why_not_fdg(part * 20_000 + "A", "", part * 20_000 + "!x")
