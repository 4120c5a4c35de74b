"""Which modalities a plan needs: all of those named, one of those grouped."""

from hypothesis import given
from hypothesis import strategies as st

from fedmq.learning.modalities import AnyOf, describe_modalities, has_modalities

NAMES = st.frozensets(st.sampled_from(["PET", "CT", "MASK"]))


@given(NAMES)
def test_of_a_group_one_is_enough_of_the_others_all_are_needed(found: frozenset[str]) -> None:
    """Against the words in which it is written."""
    one = has_modalities(found, (AnyOf(("PET", "CT")), "MASK"))
    assert one == (("PET" in found or "CT" in found) and "MASK" in found)
    assert has_modalities(found, ("PET", "CT")) == (found >= {"PET", "CT"})
    assert has_modalities(found, ())


def test_what_is_needed_reads_as_a_sentence() -> None:
    """It stands in the error of a site that has nothing of use."""
    assert describe_modalities(("MASK", AnyOf(("PET", "CT")))) == "MASK, PET or CT"
