"""SUV: from what a PET series says of itself, the factors that make its values SUV. Pure.

SUVbw = activity concentration [Bq/ml] x body weight [g] / dose [Bq], the dose decayed to the time
to which the voxels are decay-corrected: QIBA's vendor-neutral pseudo-code for SUV and the IBSI
note on it; units and decay correction in DICOM PS3.3 C.8.9.1. What is missing, absurd or
contradictory is refused by name, never guessed: tools that guess differ by a third.
"""

import math
from dataclasses import dataclass, replace
from typing import Final, NoReturn

from fedmq.errors import DatasetError
from fedmq.imaging.tracers import why_not_fdg

F18_HALF_LIFE_S: Final = 6586.2
_HALF_LIFE_TOLERANCE: Final = 0.02
_WEIGHT_KG: Final = (2.0, 350.0)
_BODY_MASS_INDEX: Final = (8.0, 90.0)
_SELDOM_BODY_MASS_INDEX: Final = 40.0
_SELDOM_KG: Final = 130.0
"""Where no size is told. Pounds for kilograms make these of 18 kg/m2 and of 59 kg."""
_DOSE_BQ: Final = (1e7, 2e9)
_MEGA_BELOW: Final = 1e4
"""Nobody is given 10 kBq: such a figure is in MBq, or in mCi."""
MIN_DELAY_S: Final = 30 * 60.0
MAX_DELAY_S: Final = 180 * 60.0
_SAME_SUV: Final = 0.1
_DAY_S: Final = 86_400.0
_SAME_TIME_S: Final = 60.0
_SAME_SCAN_S: Final = 10 * 60.0
"""Within a bed: scanners mean its begin or its middle. Decay of ten minutes is 6.5 % of SUV."""
_MAX_WAIT_S: Final = 30 * 60.0
"""From the begin of a scan to its first bed, where no reference time tells it."""
_MEND: Final = "mend it at the scanner's console or in the archive, and export the series again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A time on a clock of the hospital, with its day where the file tells it."""

    second: float
    """Seconds since midnight of that day; reckoned times may lie on either side of it."""
    day: int | None = None
    """Any running number of days."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """When the counts of one slice were taken; slices of one bed share it."""

    acquisition: Moment | None
    """Begin of the bed (Acquisition Date and Time)."""
    reference_s: float | None
    """Frame Reference Time, in s."""
    duration_s: float | None
    """Actual Frame Duration, in s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PetFacts:
    """What a PET series says about dose, patient, times and corrections; None is not told."""

    units: str
    suv_type: str
    decay_correction: str
    """START, ADMIN, NONE; empty where `corrected_to` tells it."""
    corrected_to: Moment | None
    """To which voxels are corrected (Decay Correction DateTime)."""
    corrections: frozenset[str]
    """Corrected Image."""
    tracers: tuple[str, str, str]
    """Name of the radiopharmaceutical, value and meaning of its code."""
    tracer_said: str
    """By the operator, of series that name none."""
    weight_kg: float | None
    size_m: float | None
    dose_bq: float | None
    half_life_s: float | None
    injection: Moment | None
    """By Radiopharmaceutical Start DateTime, or else by Start Time, which has no day."""
    injection_time_only: Moment | None
    """By Start Time, where both are there: they have to agree."""
    series: Moment | None
    private_scan: Moment | None
    """GE's own scan date and time (0009,100D), which a later reconstruction leaves alone."""
    frames: tuple[Frame, ...]
    """One for each slice, at least one."""
    philips_suv: float | None
    """7053,1000."""
    philips_bqml: float | None
    """7053,1009."""

    @property
    def names_tracer(self) -> bool:
        """Whether the series itself says what was given."""
        return any(name.strip() for name in self.tracers)


@dataclass(frozen=True, slots=True, kw_only=True)
class SuvScale:
    """What rescaled values are multiplied by."""

    factors: tuple[float, ...]
    """One for each frame, in the facts' order; all equal unless voxels are not decay-corrected."""
    rule: str
    """Which of the ways it was: gml, philips_suv, start, admin, date_time or none."""
    delay_s: float | None
    """From injection to scan, where both times are told."""


def find_suv_scale(facts: PetFacts) -> SuvScale:
    """Return the factors that turn the rescaled values of each slice into SUVbw [g/ml].

    Raises:
        DatasetError: a code of this vocabulary: tracer, tracer_not_named, units, suv_type,
            philips_factors, corrections, decay_correction, weight, dose, half_life, times_missing,
            times_disagree, over_midnight, injection_after_scan, delay.
    """
    _require_fdg(facts)
    _require_corrections(facts)
    _require_plausible(facts)
    first = _first_frame(facts)
    scan = _find_scan(facts, first)
    delay_s = _checked_delay_s(facts, scan, first)
    same = len(facts.frames)
    if facts.units == "GML":
        if facts.suv_type not in {"", "BW"}:
            _refuse("suv_type", "its SUV are normalised by something else than body weight")
        return SuvScale(factors=(1.0,) * same, rule="gml", delay_s=delay_s)
    if facts.units == "CNTS" and facts.philips_suv:  # QIBA: before the other one; 0 is not told
        _require_agreeing_factors(facts, facts.philips_suv, delay_s)
        return SuvScale(factors=(facts.philips_suv,) * same, rule="philips_suv", delay_s=delay_s)
    unit = _bqml_per_unit(facts)
    weight_g, dose_bq = _required_weight_kg(facts) * 1000.0, _required_dose_bq(facts)
    match facts.decay_correction:
        case "ADMIN":
            factors = (unit * weight_g / dose_bq,) * same
        case "START":
            if delay_s is None:
                _refuse(
                    "times_missing",
                    "it lacks the time of the injection or of the scan, by one clock",
                )
            left_bq = dose_bq * _left(delay_s, _required_half_life_s(facts))
            factors = (unit * weight_g / left_bq,) * same
        case "":
            left_bq = dose_bq * _left(_since_injection_s(facts), _required_half_life_s(facts))
            factors = (unit * weight_g / left_bq,) * same
        case _:
            factors = tuple(
                unit * weight_g / (dose_bq * _left_in(frame, facts)) for frame in facts.frames
            )
    rule = facts.decay_correction.lower() or "date_time"
    return SuvScale(factors=factors, rule=rule, delay_s=delay_s)


def find_doubts(facts: PetFacts) -> tuple[str, ...]:
    """Return in words what a few patients have, and mistakes make of many."""
    weight = facts.weight_kg or 0.0
    if facts.size_m:
        is_heavy = weight / facts.size_m**2 > _SELDOM_BODY_MASS_INDEX
    else:
        is_heavy = weight > _SELDOM_KG
    told = "few patients weigh as much: if its weight is in lb, its SUV are 2.2 times too high"
    return (told,) if is_heavy else ()


def average_count_rate_time_s(duration_s: float, half_life_s: float) -> float:
    """Return when in a frame the activity has its mean over the frame, in s from its begin.

    QIBA: 1/k * ln(k T / (1 - exp(-k T))), k = ln 2 / half-life.
    """
    decays = math.log(2.0) * duration_s / half_life_s
    if decays <= 0.0:
        return 0.0
    return half_life_s / math.log(2.0) * math.log(decays / -math.expm1(-decays))


def seconds_between(begin: Moment, end: Moment) -> float:
    """Return the seconds from one moment to another; without both days they are of one day."""
    days = 0 if begin.day is None or end.day is None else end.day - begin.day
    return days * _DAY_S + end.second - begin.second


def _require_fdg(facts: PetFacts) -> None:
    """The operator's word counts where nothing says otherwise, and the half-life is fluorine's."""
    told = facts.tracers if facts.names_tracer else (facts.tracer_said, "", "")
    if not any(one.strip() for one in told):
        _refuse(
            "tracer_not_named",
            "it does not say which tracer was given",
            "if you know that all series that do not say so are of FDG, say it: --tracer FDG",
        )
    if why := why_not_fdg(*told):
        _refuse("tracer", why, "leave the case out")
    if not facts.names_tracer:
        _required_half_life_s(facts)


def _require_corrections(facts: PetFacts) -> None:
    is_told = facts.decay_correction in {"START", "ADMIN", "NONE"}
    if not (is_told or (facts.corrected_to is not None and not facts.decay_correction)):
        _refuse("decay_correction", "it does not say to which time its decay is corrected")
    if "ATTN" not in facts.corrections:
        _refuse("corrections", "it is not corrected for attenuation")
    is_corrected = facts.decay_correction != "NONE"
    if ("DECY" in facts.corrections) != is_corrected:
        _refuse("corrections", "what it says about its correction for decay is contradictory")
    if not is_corrected and (facts.units == "GML" or (facts.units == "CNTS" and facts.philips_suv)):
        _refuse("corrections", "it claims to be SUV, and not to be corrected for decay")


def _require_plausible(facts: PetFacts) -> None:
    """Refuse figures that nobody has, whether they are needed or not: a scanner used them too."""
    weight, dose, half_life = facts.weight_kg, facts.dose_bq, facts.half_life_s
    if weight is not None and not _WEIGHT_KG[0] <= weight <= _WEIGHT_KG[1]:
        _refuse("weight", "no patient weighs as many kg: is it zero, or in g?")
    if weight is not None and facts.size_m:
        low, high = _BODY_MASS_INDEX
        if not low <= weight / facts.size_m**2 <= high:
            _refuse("weight", "weight and size do not go together: is one in lb, in or cm?")
    if dose is not None and not _DOSE_BQ[0] <= dose <= _DOSE_BQ[1]:
        unit = "it looks like MBq or mCi" if 0 < dose < _MEGA_BELOW else "10 MBq to 2 GBq are"
        _refuse("dose", f"its dose is not plausible in Bq: {unit}")
    if any(factor is not None and factor < 0 for factor in (facts.philips_suv, facts.philips_bqml)):
        _refuse("philips_factors", "a factor of Philips is negative")
    if half_life is not None and not (
        abs(half_life / F18_HALF_LIFE_S - 1.0) <= _HALF_LIFE_TOLERANCE
    ):
        _refuse("half_life", "its half-life is not that of fluorine 18")


def _require_agreeing_factors(facts: PetFacts, suv: float, delay_s: float | None) -> None:
    """Refuse a factor of Philips to SUV that is not what its other one makes by weight and dose."""
    bqml, weight, dose = facts.philips_bqml, facts.weight_kg, facts.dose_bq
    since_s = {"ADMIN": 0.0, "START": delay_s}.get(facts.decay_correction)
    if not (bqml and weight and dose and facts.half_life_s) or since_s is None:
        return
    by_dose = bqml * weight * 1000.0 / (dose * _left(since_s, facts.half_life_s))
    if abs(suv - by_dose) > _SAME_SUV * by_dose:
        _refuse("philips_factors", "its two factors of Philips make different SUV")


def _find_scan(facts: PetFacts, first: Frame | None) -> Moment | None:
    """Return the time to which START corrects: the begin of the whole scan, not of a bed.

    Series Date and Time, unless they are later than the first bed's: then the series was
    reconstructed again, and the time is found by GE's private tag, by the first bed's frame
    reference time, or is the first bed's begin. Without the beds' times a series time may be
    either's, so that nothing tells the scan's.
    """
    acquired = first.acquisition if first else None
    if first is None or acquired is None:
        return None
    if facts.series is None:
        return acquired if facts.decay_correction in {"NONE", ""} else None
    by_reference = _scan_by_reference_time(acquired, first, facts.half_life_s)
    if seconds_between(facts.series, acquired) >= 0.0:
        scan = facts.series
    else:
        scan = facts.private_scan or by_reference or acquired
    wait_s = seconds_between(scan, acquired)
    if scan is facts.private_scan and wait_s < -1.0:
        _refuse("times_disagree", "GE's time of its scan is later than its first bed")
    if by_reference is not None and abs(seconds_between(scan, by_reference)) > _SAME_SCAN_S:
        _refuse("times_disagree", "its frame reference time tells another begin of its scan")
    if by_reference is None and wait_s > _MAX_WAIT_S:
        _refuse("times_disagree", "its series is said to begin long before its first bed")
    return scan


def _scan_by_reference_time(
    acquired: Moment, frame: Frame, half_life_s: float | None
) -> Moment | None:
    """Return when a scan began by how long after it a bed's counts had their mean; 0 tells none."""
    if not (frame.reference_s and frame.duration_s and half_life_s):
        return None
    middle_s = average_count_rate_time_s(frame.duration_s, half_life_s)
    return replace(acquired, second=acquired.second + middle_s - frame.reference_s)


def _first_frame(facts: PetFacts) -> Frame | None:
    """Return the frame of the bed that was scanned first; None unless all beds tell their time."""
    timed = [(frame.acquisition, frame) for frame in facts.frames if frame.acquisition is not None]
    if len(timed) < len(facts.frames):
        return None
    begin = timed[0][0]
    offsets = [seconds_between(begin, moment) for moment, _ in timed]
    earliest = min(offsets)
    if max(offsets) - earliest > _DAY_S / 2:
        _refuse("over_midnight", "its beds lie half a day apart: the times lack their days")
    frames = [
        frame for offset, (_, frame) in zip(offsets, timed, strict=True) if offset == earliest
    ]
    # Where all beds tell the begin of the scan, their reference times tell them apart.
    return min(frames, key=lambda frame: frame.reference_s or 0.0)


def _checked_delay_s(facts: PetFacts, scan: Moment | None, first: Frame | None) -> float | None:
    """Return the seconds from injection to scan; those to the first bed have to be usual too."""
    injection = facts.injection
    if injection is not None and facts.injection_time_only is not None:
        apart_s = (injection.second - facts.injection_time_only.second) % _DAY_S
        if min(apart_s, _DAY_S - apart_s) > _SAME_TIME_S:
            _refuse("times_disagree", "it tells two different times of injection")
    if injection is None or scan is None:
        return None
    delay_s = seconds_between(injection, scan)
    has_days = injection.day is not None and scan.day is not None
    if delay_s < 0.0 and not has_days and delay_s + _DAY_S <= MAX_DELAY_S:
        _refuse("over_midnight", "midnight seems to lie before its scan, and a day is not told")
    if delay_s < 0.0:
        _refuse("injection_after_scan", "it was injected after the scan, or a clock was wrong")
    if has_days and delay_s >= _DAY_S / 2:
        _refuse("times_disagree", "injection and scan lie half a day apart: were dates shifted?")
    bed_s = (
        seconds_between(injection, first.acquisition) if first and first.acquisition else delay_s
    )
    for since_s in (delay_s, bed_s):
        if not MIN_DELAY_S <= since_s <= MAX_DELAY_S:
            _refuse(
                "delay",
                f"it was scanned {since_s / 60:.0f} minutes after injection; 30 to 180 can be SUV",
            )
    return delay_s


def _since_injection_s(facts: PetFacts) -> float:
    """Return from where to where decay is corrected."""
    if facts.injection is None or facts.corrected_to is None:
        _refuse("times_missing", "it lacks the time of the injection")
    since_s = seconds_between(facts.injection, facts.corrected_to)
    if not 0.0 <= since_s <= MAX_DELAY_S:
        _refuse("times_disagree", "its decay is corrected to before its injection, or hours after")
    return since_s


def _bqml_per_unit(facts: PetFacts) -> float:
    if facts.units == "BQML":
        return 1.0
    if facts.units == "CNTS":
        if facts.philips_bqml:
            return facts.philips_bqml
        _refuse("philips_factors", "its values are counts, and no factor of Philips says of what")
    return _refuse("units", "its values are in units that cannot become SUV")


def _required_weight_kg(facts: PetFacts) -> float:
    return facts.weight_kg or _refuse("weight", "it does not tell the patient's weight")


def _required_dose_bq(facts: PetFacts) -> float:
    return facts.dose_bq or _refuse("dose", "it does not tell the injected dose")


def _required_half_life_s(facts: PetFacts) -> float:
    return facts.half_life_s or _refuse("half_life", "it does not tell the half-life")


def _left_in(frame: Frame, facts: PetFacts) -> float:
    """Return the share of the dose that was left, on average, while a bed was scanned."""
    half_life_s = _required_half_life_s(facts)
    if frame.acquisition is None or facts.injection is None or not frame.duration_s:
        _refuse("times_missing", "not corrected for decay, it has to tell each bed's time")
    since_s = seconds_between(facts.injection, frame.acquisition)
    if since_s < 0.0:
        _refuse("injection_after_scan", "a bed was scanned before the injection")
    return _left(since_s + average_count_rate_time_s(frame.duration_s, half_life_s), half_life_s)


def _left(since_s: float, half_life_s: float) -> float:
    return float(2.0 ** (-since_s / half_life_s))


def _refuse(code: str, why: str, fix: str = _MEND) -> NoReturn:
    raise DatasetError("the PET cannot be turned to SUV", code=code, why=why, fix=fix)
