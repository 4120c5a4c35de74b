"""Rows in the words of the dictionary; what is not said in them is refused by name."""

import unicodedata
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedmq.errors import DatasetError
from fedmq.imaging.dictionary.applying import LEAST_FOR_MEDIAN, Applied, apply_dictionary
from fedmq.imaging.dictionary.model import LocalWords, Meaning
from fedmq.imaging.dictionary.units import TIMES, factor, is_convertible, relatives, unit_of_word
from tests.unit.imaging.dictionary.examples import a_case, lung, row

NOTHING = LocalWords()


def applied(*rows: Mapping[str, str], local: LocalWords = NOTHING) -> Applied:
    """Return these rows, applied."""
    cases = [a_case(number, cells) for number, cells in enumerate(rows, start=1)]
    return apply_dictionary(Meaning(dictionary=lung(), local=local), cases)


def renamed(old: str, new: str, **changes: str) -> dict[str, str]:
    """Return a row with one column under another name."""
    return {new if name == old else name: cell for name, cell in row(**changes).items()}


def test_cells_are_said_in_units_and_codes_of_the_dictionary() -> None:
    """Decimal commas, words for codes, flags in a language of the study; the rest is dropped."""
    said = applied(
        {**row(sex="Female", progressed="oui"), "comment": "call her daughter"},
        row(sex="1", progressed="No", pfs="12"),
        row(sex="m", ecog="2.0", weight="NA", progressed=""),
    )
    assert said.faults == ()
    rows = [dict(case.clinical) for case in said.cases]
    assert rows[0] == row(age="64.0", sex="F", weight="70.0", pfs="9.5", progressed="1")
    assert (rows[1]["sex"], rows[1]["progressed"], rows[1]["pfs"]) == ("M", "0", "12.0")
    assert (rows[2]["sex"], rows[2]["ecog"], rows[2]["weight"]) == ("M", "2", "")
    assert rows[2]["progressed"] == ""
    assert said.matching.unused == ("comment",)


@pytest.mark.parametrize(
    ("changes", "code", "says"),
    [
        ({"sex": "divers"}, "unknown_code", "column sex: 'divers' is none of F, M"),
        ({"ecog": "1.5"}, "bad_value", "column ecog: '1.5' is no whole number"),
        ({"ecog": "7"}, "out_of_range", "column ecog: 7 is not within 0 to 4"),
        ({"age": "abc"}, "bad_value", "column age: 'abc' is no number"),
        ({"age": "1e999"}, "bad_value", "no number of a patient"),
        ({"age": "640"}, "out_of_range", "640 years is not within 18 to 110"),
        ({"progressed": "perhaps"}, "unknown_code", "'perhaps' is none of yes, no"),
    ],
)
def test_a_cell_that_says_something_else_leaves_its_case_without_a_row(
    changes: dict[str, str], code: str, says: str
) -> None:
    """It is never taken for a missing one; the others go on."""
    said = applied(row(**changes), row())
    (fault,) = said.faults
    assert (fault.case_id, fault.code) == ("case-1", code)
    assert says in fault.text
    assert said.cases[0].clinical == {}
    assert said.cases[1].clinical["sex"] == "F"


def test_words_of_the_dictionary_count_before_they_are_missing() -> None:
    """`-` is negative where the study says so, `none` a code: no negative is taken for unknown."""
    variables = {
        "hpv": {"type": "flag", "spellings": {"no": ["-"], "yes": ["+"]}},
        "smoking": {"type": "category", "codes": ["none", "former", "current"]},
        "pack_years": {"type": "number"},
    }
    meaning = Meaning(dictionary=lung(variables=variables, endpoint=None))
    cells = {"hpv": "-", "smoking": "None", "pack_years": "-"}
    said = apply_dictionary(meaning, [a_case(1, cells), a_case(2, {**cells, "hpv": "?"})])
    assert said.faults == ()
    assert [case.clinical["hpv"] for case in said.cases] == ["0", ""]
    assert dict(said.cases[0].clinical) == {"hpv": "0", "smoking": "none", "pack_years": ""}


@pytest.mark.parametrize(
    ("cell", "number"),
    [
        ("0,123", "0.123"),
        ("1234,5", "1234.5"),
        ("1.234", "1.234"),
        ("12,34", "12.34"),
        (",5", "0.5"),
    ],
)
def test_decimal_commas_are_read(cell: str, number: str) -> None:
    """Where nothing else can be meant."""
    meaning = Meaning(dictionary=lung(variables={"mtv": {"type": "number"}}, endpoint=None))
    assert apply_dictionary(meaning, [a_case(1, {"mtv": cell})]).cases[0].clinical["mtv"] == number


@pytest.mark.parametrize("cell", ["1,234", "-12,345", "999,000", "1,234,567", "1.234,5"])
def test_a_comma_between_thousands_is_not_guessed_at(cell: str) -> None:
    """A metabolic volume a thousand times too small would be possible too."""
    meaning = Meaning(dictionary=lung(variables={"mtv": {"type": "number"}}, endpoint=None))
    (fault,) = apply_dictionary(meaning, [a_case(1, {"mtv": cell})]).faults
    assert fault.code == "bad_value"


def test_all_that_is_wrong_in_a_row_is_said_at_once() -> None:
    """Whoever mends the table does it once."""
    said = applied(row(sex="x", ecog="9"))
    assert [fault.column for fault in said.faults] == ["sex", "ecog"]


def test_a_case_without_a_row_stays_without_one() -> None:
    """Missing is normal: the case keeps its images."""
    said = applied(row(), {})
    assert [bool(case.clinical) for case in said.cases] == [True, False]
    assert said.faults == ()


@pytest.mark.parametrize("header", ["Sex", "SEX ", "geschlecht", "Sexe"])
def test_names_of_columns_in_other_letters_are_known(header: str) -> None:
    """By the names that the dictionary lists; case and spaces do not count."""
    assert applied(renamed("sex", header)).cases[0].clinical["sex"] == "F"


@pytest.mark.parametrize("header", ["pfs_days", "PFS (days)", "pfs [d]", "Pfs jours"])
def test_a_column_that_says_another_unit_is_refused(header: str) -> None:
    """Time in days for months is the usual error, and the most expensive one."""
    with pytest.raises(DatasetError) as caught:
        applied(renamed("pfs", header))
    assert caught.value.code == "wrong_unit"
    assert "its name says days; the dictionary wants months" in str(caught.value)
    assert '[units] pfs = "days"' in caught.value.fix


@pytest.mark.parametrize("header", ["pfs_months", "PFS (mois)", "pfs mo"])
def test_a_column_that_says_the_right_unit_is_taken(header: str) -> None:
    """Its name is the variable's with its unit."""
    assert applied(renamed("pfs", header)).cases[0].clinical["pfs"] == "9.5"


@pytest.mark.parametrize("header", ["hb (g/dl)", "Hb [g/dL]", "hb_g_dl", "hb"])
def test_a_unit_that_only_the_dictionary_knows_is_one_at_the_end_too(header: str) -> None:
    """It was no word of a unit, and the column was taken for another one."""
    hb = {"type": "number", "unit": "g/dl", "range": [3, 25]}
    meaning = Meaning(dictionary=lung(variables={"hb": hb}, endpoint=None))
    said = apply_dictionary(meaning, [a_case(1, {header: "13", "crp (mg/dl)": "2"})])
    assert said.cases[0].clinical == {"hb": "13.0"}
    assert said.matching.unused == ("crp (mg/dl)",)


def test_accents_composed_or_not_are_alike() -> None:
    """In codes, words for them, names of columns, and what the site says of its own."""
    stage = {"type": "category", "codes": ["élevé", "bas"], "columns": ["stade estimé"]}
    dictionary = lung(variables={"stage": stage}, endpoint=None)
    apart = {
        unicodedata.normalize("NFD", name): unicodedata.normalize("NFD", cell)
        for name, cell in (("Stade estimé", "Élevé"), ("état", "bas"))
    }
    for columns, code in (({}, "élevé"), ({"stage": "état"}, "bas")):
        meaning = Meaning(dictionary=dictionary, local=LocalWords(columns=columns))
        said = apply_dictionary(meaning, [a_case(1, apart)])
        assert (said.faults, said.cases[0].clinical) == ((), {"stage": code})


def test_a_unit_that_the_site_says_is_converted() -> None:
    """It is said by a person, and guessed by nobody."""
    local = LocalWords(columns={"pfs": "pfs_days"}, units={"pfs": "days"})
    said = applied(renamed("pfs", "pfs_days", pfs="365.25"), local=local)
    assert said.cases[0].clinical["pfs"] == "12.0"


def test_values_that_are_in_another_unit_as_a_whole_are_refused() -> None:
    """Each may be possible; the median of a site is not. The likely unit is named."""
    rows = [row(pfs=str(days)) for days in (61, 120, 200, 230, 239)]
    with pytest.raises(DatasetError) as caught:
        applied(*rows)
    assert caught.value.code == "wrong_unit"
    assert "the median of its 5 values is 200" in caught.value.why
    assert "is it in days?" in caught.value.why
    assert len(rows) == LEAST_FOR_MEDIAN
    assert len(applied(*rows[:-1]).cases) == LEAST_FOR_MEDIAN - 1


def test_values_that_are_nearly_all_out_of_range_are_in_another_unit() -> None:
    """Not so many patients with a fault each."""
    with pytest.raises(DatasetError) as caught:
        applied(*[row(weight=grams) for grams in ("70000", "81000", "55500", "92000", "60100")])
    assert (caught.value.code, "is it in g?" in caught.value.why) == ("wrong_unit", True)


@pytest.mark.parametrize(
    ("cells", "code"),
    [
        ({key: cell for key, cell in row().items() if key != "age"}, "missing_column"),
        ({key: cell for key, cell in row().items() if key != "pfs"}, "missing_column"),
        ({**row(), "sexe": "F", "Geschlecht": "F"}, "ambiguous_column"),
    ],
    ids=["a needed one", "of the endpoint", "two for one"],
)
def test_a_table_without_a_needed_column_or_with_two_is_refused(
    cells: dict[str, str], code: str
) -> None:
    """The endpoint's are always needed."""
    with pytest.raises(DatasetError) as caught:
        applied(cells)
    assert caught.value.code == code


def test_where_no_case_has_a_row_the_table_is_what_lacks() -> None:
    """Not a column of it: there is none, or its ids are of others."""
    with pytest.raises(DatasetError, match="no case has a row of a clinical table") as caught:
        applied({}, {})
    assert caught.value.code == "missing_column"
    assert "--clinical FILE" in caught.value.fix


def test_a_column_may_be_missing_where_the_dictionary_does_not_need_it() -> None:
    """It is told, and its variable is missing for all."""
    said = applied({key: cell for key, cell in row().items() if key != "ecog"})
    assert said.matching.missing == ("ecog",)
    assert "ecog" not in said.cases[0].clinical


def test_one_column_cannot_be_two_variables() -> None:
    """A site's file may say so by mistake."""
    with pytest.raises(DatasetError) as caught:
        applied(row(), local=LocalWords(columns={"age": "ecog"}))
    assert caught.value.code == "ambiguous_column"


def test_a_sites_words_are_known_at_that_site_alone() -> None:
    """They stand in a file of its own, so that no other site's digest changes."""
    local = LocalWords(spellings={"sex": {"F": ("weiblich",)}})
    assert applied(row(sex="Weiblich"), local=local).cases[0].clinical["sex"] == "F"
    assert applied(row(sex="Weiblich")).faults[0].code == "unknown_code"


@given(st.sampled_from(TIMES), st.sampled_from(TIMES), st.floats(0.001, 1e6))
def test_units_of_time_convert_there_and_back(one: str, other: str, number: float) -> None:
    """And a year is 365.25 days."""
    assert number * factor(one, other) * factor(other, one) == pytest.approx(number)
    assert factor("years", "days") == 365.25
    assert factor("years", "months") == pytest.approx(12.0)


def test_units_of_other_dimensions_do_not_convert() -> None:
    """Kilograms are no months."""
    assert not is_convertible("kg", "months")
    assert is_convertible("", "")
    assert relatives("kg") == ("g",)
    assert (unit_of_word("Mois"), unit_of_word("%"), unit_of_word("score")) == (
        "months",
        "percent",
        None,
    )


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                name: st.one_of(st.text(max_size=8), st.sampled_from(["F", "1", "oui", "7", "NaN"]))
                for name in row()
            }
        ),
        min_size=1,
        max_size=6,
    )
)
def test_whatever_stands_in_a_table_cells_are_codes_or_their_cases_are_named(
    rows: list[dict[str, str]],
) -> None:
    """Nothing else comes out, and nothing is dropped without a name."""
    try:
        said = applied(*rows)
    except DatasetError:  # of the column as a whole
        return
    named = {fault.case_id for fault in said.faults}
    assert len(said.cases) == len(rows)
    for case in said.cases:
        assert (case.clinical == {}) == (case.case_id in named)
        assert case.clinical.get("sex", "") in {"", "F", "M"}
        assert case.clinical.get("progressed", "") in {"", "0", "1"}
        age = case.clinical.get("age", "")
        assert age == "" or 18.0 <= float(age) <= 110.0
