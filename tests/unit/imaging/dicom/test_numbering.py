"""Numbering: folders get the names of their scans, and none is ever in the place of another."""

from hypothesis import given
from hypothesis import strategies as st

from fedmq.imaging.dicom.numbering import find_moves

NAMES = ("pt", "pt_scan-1", "pt_scan-2", "pt_scan-3", "pt_scan-4")
WAITING = tuple(f"{name}_scan-0" for name in NAMES)


@given(
    there=st.dictionaries(st.sampled_from(NAMES + WAITING), st.sampled_from("abcd"), max_size=6),
    order=st.permutations("abcd"),
    number=st.integers(1, 4),
)
def test_every_scan_gets_its_name_and_none_is_lost(
    there: dict[str, str], order: list[str], number: int
) -> None:
    """Whatever lies where, also after a kill; a name is taken only when it is free."""
    scans = order[:number]
    names = {scan: f"pt_scan-{at}" for at, scan in enumerate(scans, start=1)}
    there = {name: scan for name, scan in there.items() if scan in scans}
    now = dict(there)
    for old, new in find_moves(there, names):
        assert new not in now
        now[new] = now.pop(old)
    assert sorted(now.values()) == sorted(there.values())
    for scan in set(there.values()):
        assert now[names[scan]] == scan


def test_what_lies_right_stays() -> None:
    """Nothing is moved without need."""
    names = {"a": "pt_scan-1", "b": "pt_scan-2"}
    assert list(find_moves({"pt_scan-1": "a", "pt_scan-2": "b"}, names)) == []
    assert list(find_moves({"pt": "b"}, names)) == [("pt", "pt_scan-2")]
