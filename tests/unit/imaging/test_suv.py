"""SUV: an evenly spread dose has SUV 1, however a scanner tells it; what is wrong is refused."""

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedmq.errors import DatasetError
from fedmq.imaging.suv import (
    F18_HALF_LIFE_S,
    Frame,
    Moment,
    PetFacts,
    average_count_rate_time_s,
    find_doubts,
    find_suv_scale,
    seconds_between,
)

DAY = 730_000
weights = st.floats(30, 160)
doses = st.floats(5e7, 9e8)
delays = st.floats(31 * 60, 179 * 60)
hours = st.floats(0, 86_399)
durations = st.floats(30, 1200)


def at(second: float, day: int | None = DAY) -> Moment:
    """Return the moment so many seconds after midnight of a day; hours of the next day too."""
    if day is None:
        return Moment(second=second)
    return Moment(second=second % 86_400, day=day + math.floor(second / 86_400))


def frame(
    acquisition: Moment | None, reference_s: float | None = None, duration_s: float | None = 120.0
) -> Frame:
    """Return the frame of a slice."""
    return Frame(acquisition=acquisition, reference_s=reference_s, duration_s=duration_s)


def facts(**changes: object) -> PetFacts:
    """Return what a sound series in Bq/ml tells: injected at 10:00, scanned at 11:00."""
    usual: dict[str, object] = {
        "units": "BQML",
        "suv_type": "",
        "decay_correction": "START",
        "corrected_to": None,
        "corrections": frozenset({"ATTN", "DECY", "SCAT"}),
        "tracers": ("Fluorodeoxyglucose", "", ""),
        "tracer_said": "",
        "weight_kg": 70.0,
        "size_m": None,
        "dose_bq": 3e8,
        "half_life_s": F18_HALF_LIFE_S,
        "injection": at(36_000),
        "injection_time_only": None,
        "series": at(39_600),
        "private_scan": None,
        "frames": (frame(at(39_600)),) * 3,
        "philips_suv": None,
        "philips_bqml": None,
    }
    return PetFacts(**{**usual, **changes})


def code_of(told: PetFacts) -> str:
    """Return the code of the refusal; it says why and what to do."""
    with pytest.raises(DatasetError) as caught:
        find_suv_scale(told)
    assert caught.value.why
    assert caught.value.fix
    return caught.value.code


def left(seconds: float) -> float:
    """Return which share of a dose of fluorine 18 is left."""
    return math.exp(-math.log(2) * seconds / F18_HALF_LIFE_S)


@given(weight=weights, dose=doses, delay_s=delays, begin=hours)
def test_decay_corrected_to_the_scan_an_even_dose_has_suv_1(
    weight: float, dose: float, delay_s: float, begin: float
) -> None:
    """START: the voxels tell what was there when the scan began; over midnight too."""
    told = facts(
        weight_kg=weight,
        dose_bq=dose,
        injection=at(begin),
        series=at(begin + delay_s),
        frames=(frame(at(begin + delay_s)), frame(at(begin + delay_s + 900))),
    )
    voxel = dose * left(delay_s) / (weight * 1000)
    scale = find_suv_scale(told)
    assert [voxel * factor for factor in scale.factors] == pytest.approx([1.0, 1.0], rel=1e-9)
    assert scale.delay_s == pytest.approx(delay_s, abs=1e-6)
    assert scale.rule == "start"


@given(weight=weights, dose=doses, delay_s=delays)
def test_decay_corrected_to_the_injection_an_even_dose_has_suv_1(
    weight: float, dose: float, delay_s: float
) -> None:
    """ADMIN: nothing decays between injection and voxel."""
    told = facts(
        decay_correction="ADMIN",
        weight_kg=weight,
        dose_bq=dose,
        series=at(36_000 + delay_s),
        frames=(frame(at(36_000 + delay_s)),),
    )
    assert find_suv_scale(told).factors[0] * dose / (weight * 1000) == pytest.approx(1.0)


@given(weight=weights, dose=doses, delay_s=delays, share=st.floats(0, 1))
def test_decay_corrected_to_a_moment_that_is_told_an_even_dose_has_suv_1(
    weight: float, dose: float, delay_s: float, share: float
) -> None:
    """Decay Correction DateTime: whichever it is, from the injection to long after."""
    since_s = share * 179 * 60
    told = facts(
        decay_correction="",
        corrected_to=at(36_000 + since_s),
        weight_kg=weight,
        dose_bq=dose,
        series=at(36_000 + delay_s),
        frames=(frame(at(36_000 + delay_s)),),
    )
    scale = find_suv_scale(told)
    assert scale.factors[0] * dose * left(since_s) / (weight * 1000) == pytest.approx(1.0)
    assert (scale.rule, scale.delay_s) == ("date_time", pytest.approx(delay_s))
    without_series = dataclasses.replace(told, series=None)
    assert find_suv_scale(without_series).delay_s == pytest.approx(delay_s)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"corrected_to": at(35_999)}, "times_disagree"),
        ({"corrected_to": at(36_000 + 3 * 3600 + 1)}, "times_disagree"),
        ({"corrected_to": at(39_600), "injection": None}, "times_missing"),
        ({"corrected_to": None}, "decay_correction"),
        ({"corrected_to": at(39_600), "decay_correction": "SOMETIME"}, "decay_correction"),
    ],
)
def test_a_moment_that_decay_is_not_corrected_to_is_refused(
    changes: dict[str, object], code: str
) -> None:
    """Before the injection, or on another day."""
    assert code_of(facts(**{"decay_correction": "", **changes})) == code


@given(weight=weights, delay_s=delays, duration_s=durations)
def test_not_decay_corrected_every_bed_has_its_own_factor(
    weight: float, delay_s: float, duration_s: float
) -> None:
    """NONE: voxels are means over their bed's own time, here by numerical integration."""
    begins = [delay_s, delay_s + 300, delay_s + 600]
    told = facts(
        decay_correction="NONE",
        corrections=frozenset({"ATTN"}),
        weight_kg=weight,
        series=at(36_000 + delay_s),
        frames=tuple(frame(at(36_000 + one), duration_s=duration_s) for one in begins),
    )
    instants = (np.arange(2000) + 0.5) / 2000 * duration_s
    means = [3e8 / (weight * 1000) * np.mean([left(one + s) for s in instants]) for one in begins]
    factors = find_suv_scale(told).factors
    assert np.array(factors) * means == pytest.approx([1.0] * 3, rel=1e-6)
    assert factors[0] < factors[1] < factors[2]


@given(duration_s=st.floats(1, 7200))
def test_the_mean_of_a_frame_is_taken_before_its_middle(duration_s: float) -> None:
    """At that time the activity is the frame's mean: decay is faster in the beginning."""
    middle_s = average_count_rate_time_s(duration_s, F18_HALF_LIFE_S)
    decays = math.log(2) * duration_s / F18_HALF_LIFE_S
    assert left(middle_s) == pytest.approx((1 - math.exp(-decays)) / decays, rel=1e-6)
    assert middle_s <= duration_s / 2 + 1e-6


@given(later=st.lists(st.floats(0, 3000), min_size=1, max_size=8), begin=hours)
def test_later_beds_change_nothing(later: list[float], begin: float) -> None:
    """The classic error: each slice's own acquisition time makes later beds too high."""
    beds = (frame(at(begin + 3600)), *(frame(at(begin + 3600 + one)) for one in later))
    one = facts(injection=at(begin), series=at(begin + 3600), frames=beds[:1])
    all_beds = dataclasses.replace(one, frames=beds[::-1])
    assert set(find_suv_scale(all_beds).factors) == {find_suv_scale(one).factors[0]}


@given(bed_s=st.floats(0, 1800))
def test_voxels_are_corrected_to_the_series_not_to_its_first_bed(bed_s: float) -> None:
    """The table may move before the first counts are taken."""
    told = facts(frames=(frame(at(39_600 + bed_s)),))
    assert find_suv_scale(told) == find_suv_scale(facts(frames=(frame(at(39_600)),)))


@given(
    later_s=st.floats(60, 30_000),
    delay_s=st.floats(31 * 60, 150 * 60),
    begin=hours,
    bed_s=st.floats(0, 1500),
)
def test_reconstructed_again_the_scan_is_found_elsewhere(
    later_s: float, delay_s: float, begin: float, bed_s: float
) -> None:
    """Series time is then that of the reconstruction: GE's tag, frame reference, first bed."""
    true = find_suv_scale(
        facts(injection=at(begin), series=at(begin + delay_s), frames=(frame(at(begin + delay_s)),))
    ).factors[0]
    scan = begin + delay_s
    again = at(scan + bed_s + later_s)
    ge = facts(
        injection=at(begin),
        series=again,
        private_scan=at(scan),
        frames=(frame(at(scan + bed_s)),),
    )
    assert find_suv_scale(ge).factors[0] == pytest.approx(true, rel=1e-9)
    # The first bed that is there may be a later one: its reference time tells how much later.
    middle_s = average_count_rate_time_s(120.0, F18_HALF_LIFE_S)
    others = facts(
        injection=at(begin),
        series=again,
        frames=(
            frame(at(scan + bed_s + 200), bed_s + 200 + middle_s),
            frame(at(scan + bed_s), bed_s + middle_s),
        ),
    )
    assert find_suv_scale(others).factors[0] == pytest.approx(true, rel=1e-6)
    bare = facts(injection=at(begin), series=again, frames=(frame(at(scan), reference_s=0.0),))
    assert find_suv_scale(bare).factors[0] == pytest.approx(true, rel=1e-9)


@given(bed_s=st.floats(0, 7200), wrong_s=st.floats(660, 9000), duration_s=durations)
def test_a_series_that_begins_at_another_time_than_its_beds_tell_is_refused(
    bed_s: float, wrong_s: float, duration_s: float
) -> None:
    """The bed's begin and reference time tell the scan's, however late the first bed that is there.

    Reference times are those of a bed's mean or of its begin: minutes apart are no contradiction.
    """
    middle_s = average_count_rate_time_s(duration_s, F18_HALF_LIFE_S)
    for of_bed in (middle_s, 0.0):
        sound = facts(frames=(frame(at(39_600 + bed_s), bed_s + of_bed, duration_s),))
        assert find_suv_scale(sound).delay_s == 3600.0
    for apart_s in (wrong_s, -wrong_s):
        bed = frame(at(39_600 + bed_s), bed_s + middle_s + apart_s, duration_s)
        if bed.reference_s:
            assert code_of(facts(frames=(bed,))) == "times_disagree"


def test_beds_that_all_tell_the_begin_of_the_scan_are_told_apart_by_their_reference_times() -> None:
    """The first of them is that with the least, in whichever order the slices are."""
    beds = tuple(frame(at(39_600), 60.0 + late_s) for late_s in (1800.0, 900.0, 0.0))
    assert find_suv_scale(facts(frames=beds)).delay_s == 3600.0


@given(begin=st.floats(0, 86_400 - 31 * 60), delay_s=delays)
def test_without_days_times_count_within_a_day_and_are_refused_over_midnight(
    begin: float, delay_s: float
) -> None:
    """An injection that has a time only may have been on either side of midnight."""
    scan = at((begin + delay_s) % 86_400, None)
    told = facts(injection=at(begin, None), series=scan, frames=(frame(scan),))
    if begin + delay_s < 86_400:
        assert find_suv_scale(told).delay_s == pytest.approx(delay_s, abs=1e-6)
    else:
        assert code_of(told) == "over_midnight"


def test_beds_over_midnight_without_days_are_refused() -> None:
    """The first of them cannot be told."""
    told = facts(frames=(frame(at(86_000, None)), frame(at(200, None))))
    assert code_of(told) == "over_midnight"


@given(bqml=st.floats(1e-3, 1e3), rounding=st.floats(0.92, 1.08))
def test_of_philips_factors_that_to_suv_comes_first(bqml: float, rounding: float) -> None:
    """The other one leads to Bq/ml, and counts where the first is missing or zero."""
    usual = find_suv_scale(facts()).factors[0]
    suv = usual * bqml * rounding
    both = facts(units="CNTS", philips_suv=suv, philips_bqml=bqml)
    assert set(find_suv_scale(both).factors) == {suv}
    for nothing in (None, 0.0):
        told = facts(units="CNTS", philips_suv=nothing, philips_bqml=bqml)
        assert find_suv_scale(told).factors[0] == pytest.approx(usual * bqml)
    assert code_of(facts(units="CNTS", philips_suv=0.0, philips_bqml=0.0)) == "philips_factors"


@given(bqml=st.floats(1e-3, 1e3), wrong=st.floats(0.001, 0.88) | st.floats(1.12, 1e300))
def test_factors_of_philips_that_contradict_each_other_are_refused(
    bqml: float, wrong: float
) -> None:
    """By weight and dose one follows from the other; where one of those is missing, none does."""
    for correction in ("START", "ADMIN"):
        usual = find_suv_scale(facts(decay_correction=correction)).factors[0]
        both = facts(
            units="CNTS",
            decay_correction=correction,
            philips_suv=usual * bqml * wrong,
            philips_bqml=bqml,
        )
        assert code_of(both) == "philips_factors"
        for missing in ("weight_kg", "dose_bq"):
            told = dataclasses.replace(both, **{missing: None})
            assert set(find_suv_scale(told).factors) == {both.philips_suv}


@given(weight=weights, dose=doses)
def test_what_is_suv_already_stays_as_it_is(weight: float, dose: float) -> None:
    """GML: code that divides by the dose again is wrong; other norms are no SUVbw."""
    for kind in ("", "BW"):
        told = facts(units="GML", suv_type=kind, weight_kg=weight, dose_bq=dose)
        assert set(find_suv_scale(told).factors) == {1.0}
    bare = facts(units="GML", weight_kg=None, dose_bq=None, half_life_s=None, injection=None)
    assert set(find_suv_scale(bare).factors) == {1.0}
    untimed = facts(units="GML", series=at(70_000), frames=(frame(None),))
    assert find_suv_scale(untimed).delay_s is None
    for kind in ("LBM", "LBMJANMA", "BSA", "IBW"):
        assert code_of(facts(units="GML", suv_type=kind)) == "suv_type"


def refuses_always(code: str, **changes: object) -> None:
    """The change is refused with the code, with any units and corrections."""
    for units in ("BQML", "GML", "CNTS"):
        assert code_of(facts(units=units, philips_suv=1e-3, **changes)) == code


@given(st.floats(351, 1e6) | st.floats(-10, 1.9))
def test_a_weight_that_nobody_has_is_refused(weight: float) -> None:
    """Zero, or g for kg."""
    refuses_always("weight", weight_kg=weight)


@given(size_m=st.floats(1.45, 2.0), index=st.floats(18.5, 39))
def test_a_weight_that_may_be_in_pounds_is_told(size_m: float, index: float) -> None:
    """An index of 41 may be a patient's, so that it is no reason to refuse."""
    weight_kg = index * size_m**2
    assert find_doubts(facts(weight_kg=weight_kg, size_m=size_m)) == ()
    (told,) = find_doubts(facts(weight_kg=weight_kg * 2.2046, size_m=size_m))
    assert "lb" in told
    assert find_doubts(facts(weight_kg=154.3, size_m=None)) == (told,)
    assert find_doubts(facts(weight_kg=129.0, size_m=None)) == ()
    assert find_doubts(facts(weight_kg=None, size_m=size_m)) == ()


@given(st.floats(0, 1e7, exclude_max=True) | st.floats(2.1e9, 1e15) | st.just(math.nan))
def test_a_dose_that_nobody_was_given_is_refused(dose: float) -> None:
    """MBq or kBq for Bq."""
    refuses_always("dose", dose_bq=dose)


@given(st.floats(0, 6000) | st.floats(7000, 1e6))
def test_a_half_life_of_something_else_is_refused(half_life: float) -> None:
    """Zero; carbon 11, gallium 68, minutes for seconds."""
    refuses_always("half_life", half_life_s=half_life)


@given(st.floats(1, 29.9) | st.floats(180.1, 700))
def test_a_delay_out_of_the_usual_is_refused(minutes: float) -> None:
    """30 to 180 minutes; the text tells how many there were."""
    scan = at(36_000 + minutes * 60)
    told = facts(series=scan, frames=(frame(scan),))
    assert code_of(told) == "delay"
    refuses_always("delay", series=scan, frames=(frame(scan),))


@given(st.floats(10, 40_000))
def test_an_injection_after_the_scan_is_refused(seconds: float) -> None:
    """A clock was wrong, or files were mixed."""
    told = facts(injection=at(39_600 + seconds))
    assert code_of(told) == "injection_after_scan"


@given(st.integers(1, 5000))
def test_dates_that_were_shifted_apart_are_refused(days: int) -> None:
    """Some de-identifiers move the date of the series and not that of the injection."""
    later = at(39_600, DAY + days)
    assert code_of(facts(series=later, frames=(frame(later),))) == "times_disagree"


REFUSED: dict[str, tuple[str, Callable[[], PetFacts]]] = {
    "PSMA": ("tracer", lambda: facts(tracers=("68Ga-PSMA-11", "", ""))),
    "no tracer": ("tracer_not_named", lambda: facts(tracers=("", "", ""))),
    "CM2ML": ("units", lambda: facts(units="CM2ML")),
    "no units": ("units", lambda: facts(units="")),
    "not attenuated": ("corrections", lambda: facts(corrections=frozenset({"DECY"}))),
    "START without DECY": ("corrections", lambda: facts(corrections=frozenset({"ATTN"}))),
    "NONE with DECY": ("corrections", lambda: facts(decay_correction="NONE")),
    "GML not corrected": (
        "corrections",
        lambda: facts(units="GML", decay_correction="NONE", corrections=frozenset({"ATTN"})),
    ),
    "no decay": ("decay_correction", lambda: facts(decay_correction="")),
    "no weight": ("weight", lambda: facts(weight_kg=None)),
    "size in cm": ("weight", lambda: facts(size_m=175.0)),
    "lb, tall": ("weight", lambda: facts(weight_kg=260.0, size_m=1.6)),
    "no dose": ("dose", lambda: facts(dose_bq=None)),
    "no half-life": ("half_life", lambda: facts(half_life_s=None)),
    "no injection": ("times_missing", lambda: facts(injection=None)),
    "no series time": ("times_missing", lambda: facts(series=None)),
    "series time alone, perhaps of a reconstruction": (
        "times_missing",
        lambda: facts(series=at(45_000), frames=(frame(None),)),
    ),
    "one bed without a time": (
        "times_missing",
        lambda: facts(frames=(frame(at(39_600)), frame(None))),
    ),
    "series long before its beds": (
        "times_disagree",
        lambda: facts(frames=(frame(at(41_460)),)),
    ),
    "GE's scan long before its beds": (
        "times_disagree",
        lambda: facts(series=at(50_000), private_scan=at(39_600), frames=(frame(at(41_460)),)),
    ),
    "first bed late": (
        "delay",
        lambda: facts(series=at(36_000 + 9_600), frames=(frame(at(36_000 + 10_900)),)),
    ),
    "no bed time": (
        "times_missing",
        lambda: facts(
            decay_correction="NONE", corrections=frozenset({"ATTN"}), frames=(frame(None),)
        ),
    ),
    "two injections": (
        "times_disagree",
        lambda: facts(injection_time_only=Moment(second=36_300.0)),
    ),
    "GE after the bed": (
        "times_disagree",
        lambda: facts(series=at(50_000), private_scan=at(45_000)),
    ),
    "negative factor": ("philips_factors", lambda: facts(units="CNTS", philips_suv=-1.0)),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_missing_or_contradictory_is_refused_by_name(what: str) -> None:
    """Never a guess."""
    code, told = REFUSED[what]
    assert code_of(told()) == code


def test_the_operators_word_counts_where_no_tracer_is_named() -> None:
    """It makes no other tracer FDG, and needs a half-life of fluorine 18 beside it."""
    nameless = {"tracers": ("", " ", ""), "tracer_said": "FDG"}
    assert find_suv_scale(facts(**nameless)) == find_suv_scale(facts())
    assert code_of(facts(tracers=("PSMA-1007", "", ""), tracer_said="FDG")) == "tracer"
    assert code_of(facts(**nameless, half_life_s=4057.7)) == "half_life"
    assert code_of(facts(**nameless, units="GML", half_life_s=None)) == "half_life"
    assert code_of(facts(**{**nameless, "tracer_said": "PSMA"})) == "tracer"


@given(hours, hours, st.integers(-3, 3))
def test_seconds_between_moments_add_up(begin: float, end: float, days: int) -> None:
    """There and back is nothing; a day has 86400 seconds."""
    one, other = at(begin), at(end, DAY + days)
    assert seconds_between(one, other) == pytest.approx(-seconds_between(other, one))
    assert seconds_between(one, other) == pytest.approx(days * 86_400 + end - begin)
