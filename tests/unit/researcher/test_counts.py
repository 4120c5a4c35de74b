"""Counts of cases in words: who lacked what, who was left out, of how many."""

from fedmq.messages.fields import RatioField
from fedmq.messages.submissions import RoundRecord
from fedmq.researcher.counts import describe_counts, is_count


def record_with(
    training: dict[str, tuple[int, int]], validation: dict[str, tuple[int, int]]
) -> RoundRecord:
    """Return the record of a round with these metrics."""
    metrics = [
        {name: RatioField(numerator=a, denominator=b) for name, (a, b) in part.items()}
        for part in (training, validation)
    ]
    return RoundRecord(
        round=1,
        attempt=0,
        model="0" * 64,
        outcomes=[],
        train_metrics=metrics[0],
        metrics=metrics[1],
        bytes_up=0,
        bytes_down=0,
        duration_s=0.0,
    )


def test_a_line_for_training_and_one_for_validation_cases() -> None:
    """With the field's own names; what is no count is not in it."""
    training = {
        "loss": (10, 4),
        "with_pet": (140, 144),
        "with_ct": (112, 144),
        "left_out_no_outcome": (6, 152),
        "left_out_no_image": (2, 152),
    }
    validation = {"c_index": (3, 4), "with_ct": (28, 36)}
    had = "CT 112 of 144, PET 140 of 144"
    left_out = "no image 2 of 152, no outcome 6 of 152"
    assert describe_counts(record_with(training, validation)) == (
        f"training cases: {had}; left out: {left_out}",
        "validation cases: CT 28 of 36",
    )


def test_that_nobody_was_left_out_is_said_by_who_looked() -> None:
    """A zero is an answer; a plan that counts nothing has no line."""
    record = record_with({"left_out_no_outcome": (0, 10)}, {"c_index": (3, 4)})
    assert describe_counts(record) == ("training cases: none left out",)
    assert describe_counts(record_with({}, {})) == ()


def test_counts_are_told_from_other_metrics_by_their_names() -> None:
    """As docs/plans.md says."""
    names = ("with_ct", "left_out_no_image", "loss", "c_index", "without", "left")
    assert [is_count(name) for name in names] == [True, True, False, False, False, False]
