"""The command that imports: what it says, how it ends, and the dataset that comes of it."""

import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from fedmq.types import Role
from tests.support import dicom
from tests.unit.cli.line import CommandLine
from tests.unit.imaging.dicom.archive import ct, pet

LYON = "chu-lyon"


@pytest.fixture
def node(fedmq: CommandLine, credentials: Callable[..., Path], home: Path) -> CommandLine:
    """Return the command line of a node, beside an archive with PET and CT of one patient."""
    credentials(LYON, Role.NODE, home / "node" / "credentials.toml")
    dicom.write(home / "export" / "x", *pet(), *ct())
    return fedmq


def test_an_archive_becomes_a_dataset_that_is_added(node: CommandLine, home: Path) -> None:
    """The screen ends with the next command, which works; nobody is named."""
    done = node("node", "data", "import", "export", "cases", "--jobs", "1")
    assert (done.code, done.ends_with_next) == (0, True)
    first, last = done.data.splitlines()
    case_id = first.partition(":")[0]
    assert first == f"{case_id}: written: PET of 5 slices, CT of 5 slices"
    assert last == "1 case, 0 refused"
    assert "looked at 10 of 10 files" in done.talk
    assert "done with 1 of 1 case" in done.talk
    assert dicom.SECRETS["id"] not in done.data + done.talk
    assert "next: fedmq node data add NAME cases" in done.talk
    assert stat.S_IMODE((home / "node" / "imports").stat().st_mode) == 0o700
    added = node("node", "data", "add", "lung", "cases")
    assert added.code == 0
    assert "lung: 1 case" in added.data
    again = node("node", "data", "import", "export", "cases", "--jobs", "1", "--json")
    (case,) = again.json["cases"]
    assert (case["case_id"], case["state"], again.json["counts"]) == (case_id, "kept", {"kept": 1})


def weightless(one: Dataset) -> None:
    """Take the patient's weight out."""
    del one.PatientWeight


def test_a_refused_case_ends_the_command_with_1(node: CommandLine, home: Path) -> None:
    """What, why and fix, by case; the other one is there."""
    dicom.write(home / "export" / "y", *pet(weightless, patient="other"))
    (home / "export" / "notes.txt").write_text("x")
    done = node("node", "data", "import", "export", "cases", "--jobs", "1")
    assert done.code == 1
    assert "in no case: no DICOM: 1 file" in done.data
    assert ": refused: weight: it does not tell the patient's weight\n  fix: " in done.data
    assert done.data.endswith("1 case, 1 refused\n")
    assert done.ends_with_next


def test_what_stays_of_an_earlier_import_and_what_goes_is_told(
    node: CommandLine, home: Path
) -> None:
    """A number that is meant for one study refuses all others: they are there none the less."""
    dicom.write(home / "export" / "y", *pet(patient="other"))
    assert node(*IMPORT).code == 0
    done = node(*IMPORT, "--pet-series", "4")
    assert done.data.endswith("0 cases, 2 refused (2 there as imported before)\n")
    dicom.write(home / "export" / "y", *pet(weightless, patient="other"))
    done = node(*IMPORT)
    assert done.data.endswith("1 case, 1 refused\n")
    report = (home / "cases" / "import-report.txt").read_text()
    for told in (done.data, report):
        assert ": removed: the archive says otherwise by now\n" in told


def test_a_damaged_file_that_is_nobodys_ends_the_command_with_1(
    node: CommandLine, home: Path
) -> None:
    """All that are there are written, and nobody knows who is not."""
    for patient in ("other", "broken"):
        (path, *_) = dicom.write(home / "export" / patient, *pet(patient=patient))
    for one in path.parent.iterdir():
        one.write_bytes(b"")
    done = node(*IMPORT)
    assert done.code == 1
    assert done.data.endswith("2 cases, 0 refused\n")
    assert "5 damaged files may be of a case that is not there, or not whole" in done.talk
    assert "left-out.csv" in done.talk


def test_clinical_rows_and_time_zero_come_by_patient_id(node: CommandLine, home: Path) -> None:
    """The dataset's table has the case's name, and only the columns that were asked for."""
    patient = dicom.SECRETS["id"]
    (home / "table.csv").write_text(f"IPP;name;age\n{patient};Dupontel;73\nX;Y;1\n")
    (home / "zero.csv").write_text(f"patient_id,date\n{patient},2021-06-24\nX,2021-06-24\n")
    done = node(
        *("node", "data", "import", "export", "cases", "--jobs", "1", "--json"),
        *("--clinical", "table.csv", "--id-column", "IPP", "--keep-column", "age"),
        *("--time-zero", "zero.csv"),
    )
    (case,) = done.json["cases"]
    assert (case["scan_day"], case["time_zero"]) == (-10, "treatment")
    assert (home / "cases" / "clinical.csv").read_text() == f"case_id,age\n{case['case_id']},73\n"
    assert "time zero: 1 row of patients that are not in the archive" in done.talk
    assert "1 row with 1 column; 1 row of patients without a case left out" in done.talk


def test_ids_that_a_spreadsheet_altered_find_their_patients(node: CommandLine, home: Path) -> None:
    """As in a dataset's own table; what became of a row is told to the site alone, by its id."""
    for patient in ("007", "08", "8"):
        dicom.write(home / "export" / patient, *pet(patient=patient))
    (home / "table.csv").write_text("patient_id,age\n7.0,73\n0008,74\n99,75\n")
    (home / "zero.csv").write_text("patient_id,date\n7,2021-06-24\n99,2021-06-24\n")
    done = node(*WITH_AGE, "--time-zero", "zero.csv", "--json")
    told = [case["time_zero"] for case in done.json["cases"]]
    assert sorted(told) == ["first scan", "first scan", "first scan", "treatment"]
    assert [row.partition(",")[2] for row in clinical(home)] == ["age", "73"]
    assert "time zero: 1 row taken, though the id is written otherwise" in done.talk
    assert "clinical.csv: 1 row taken, though the id is written otherwise" in done.talk
    assert "1 row with 1 column; 2 rows of patients without a case left out" in done.talk
    rows = home / "node" / "imports" / "rows.csv"
    assert rows.read_text().splitlines() == [
        "table,patient_id,what became of it",
        "time zero,7,taken for 007",
        "time zero,99,left out: its patient has no case",
        "clinical,0008,left out: it may be 08 or 8",
        "clinical,7.0,taken for 007",
        "clinical,99,left out: its patient has no case",
    ]
    assert stat.S_IMODE(rows.stat().st_mode) == 0o600


def test_a_row_is_one_patients_in_both_tables_whatever_an_export_holds(
    node: CommandLine, home: Path
) -> None:
    """007 came with the first export alone: its rows are not those of 7, who came with the next."""
    dicom.write(home / "export" / "x", *pet(patient="007"))
    assert node(*IMPORT).code == 0
    dicom.write(home / "export" / "x", *pet(patient="7"))
    (home / "table.csv").write_text("patient_id,age\n007,73\n")
    (home / "zero.csv").write_text("patient_id,date\n007,2021-06-24\n")
    done = node(*WITH_AGE, "--time-zero", "zero.csv", "--json")
    assert {case["time_zero"] for case in done.json["cases"]} == {"first scan"}
    assert "time zero: 1 row of patients that are not in the archive" in done.talk
    ((case_id, _),) = (row.split(",") for row in clinical(home)[1:])
    assert case_id not in {case["case_id"] for case in done.json["cases"]}
    rows = (home / "node" / "imports" / "rows.csv").read_text().splitlines()
    assert rows[1:] == ["time zero,007,left out: its patient has no case"]


IMPORT = ("node", "data", "import", "export", "cases", "--jobs", "1")
WITH_AGE = (*IMPORT, "--clinical", "table.csv", "--keep-column", "age")


def test_a_second_export_adds_its_rows_to_those_of_the_first(node: CommandLine, home: Path) -> None:
    """Also of cases that only an earlier export held; other columns would leave holes."""
    (home / "table.csv").write_text(f"patient_id,age\n{dicom.SECRETS['id']},73\n")
    assert node(*WITH_AGE).code == 0
    (home / "export").rename(home / "first")
    dicom.write(home / "export", *pet(patient="other"))
    (home / "table.csv").write_text("patient_id,age,stage\nother,50,IV\n")
    done = node(*WITH_AGE, "--keep-column", "stage")
    assert (done.code, done.data) == (1, "")
    assert "keep the same columns" in done.talk
    done = node(*WITH_AGE)
    assert done.code == 0
    assert "1 row of earlier imports stay; 0 rows" in done.talk
    ages = [row.partition(",")[2] for row in clinical(home)]
    assert sorted(ages) == ["50", "73", "age"]
    (home / "table.csv").write_text(
        f"patient_id,age,stage\nother,51,IV\n{dicom.SECRETS['id']},74,II\n"
    )
    assert node(*WITH_AGE, "--keep-column", "stage").code == 0
    assert sorted(row.partition(",")[2] for row in clinical(home)) == [
        "51,IV",
        "74,II",
        "age,stage",
    ]


def clinical(home: Path) -> list[str]:
    """Return the lines of the dataset's table."""
    return (home / "cases" / "clinical.csv").read_text().splitlines()


def test_rows_of_cases_that_are_gone_go_too(node: CommandLine, home: Path) -> None:
    """What was refused by now has no row that would be a case without images; that is told."""
    dicom.write(home / "export" / "y", *pet(patient="other"))
    (home / "table.csv").write_text(f"patient_id,age\nother,50\n{dicom.SECRETS['id']},73\n")
    assert node(*WITH_AGE).code == 0
    dicom.write(
        home / "export" / "y", *pet(lambda one: delattr(one, "PatientWeight"), patient="other")
    )
    (home / "table.csv").write_text(f"patient_id,age\n{dicom.SECRETS['id']},73\n")
    done = node(*WITH_AGE)
    assert (
        "0 rows of earlier imports stay; 1 row of cases that are there no more left out"
        in done.talk
    )
    assert len(clinical(home)) == 2


def test_a_table_that_no_import_wrote_is_not_replaced(node: CommandLine, home: Path) -> None:
    """The operator's own work; said before anything is imported."""
    (home / "cases").mkdir()
    (home / "cases" / "clinical.csv").write_text("case_id,age\nx,1\n")
    (home / "table.csv").write_text(f"patient_id,age\n{dicom.SECRETS['id']},73\n")
    done = node(*WITH_AGE)
    assert (done.code, done.data) == (1, "")
    assert "error: the dataset has a clinical.csv already" in done.talk
    assert clinical(home) == ["case_id,age", "x,1"]
    assert [path.name for path in (home / "cases").iterdir()] == ["clinical.csv"]


def test_a_table_that_cannot_be_used_is_refused_before_the_import(
    node: CommandLine, home: Path
) -> None:
    """Nobody waits for hours to be told of a wrong column."""
    (home / "table.csv").write_text(f"patient_id,size\n{dicom.SECRETS['id']},73\n")
    done = node(*WITH_AGE)
    assert (done.code, done.data) == (1, "")
    assert "looked at" not in done.talk
    assert not (home / "cases").exists()


def test_scans_of_a_patient_are_one_case_whose_baseline_is_chosen_by_their_days(
    node: CommandLine, home: Path
) -> None:
    """The last scan before treatment: what is written is what `data add` understands."""

    def later(one: Dataset) -> None:
        one.StudyDate = one.SeriesDate = one.AcquisitionDate = "20210714"
        drug = one.RadiopharmaceuticalInformationSequence[0]
        drug.RadiopharmaceuticalStartDateTime = "20210714100000"

    dicom.write(home / "export" / "later", *pet(later, study="later"))
    (home / "zero.csv").write_text(f"patient_id,date\n{dicom.SECRETS['id']},2021-06-24\n")
    (home / "table.csv").write_text(f"patient_id,age\n{dicom.SECRETS['id']},73\n")
    done = node(
        *("node", "data", "import", "export", "cases", "--jobs", "1", "--time-zero", "zero.csv"),
        *("--clinical", "table.csv", "--keep-column", "age"),
    )
    assert done.code == 0
    first = done.data.partition(":")[0]
    assert first.endswith("_scan-1")
    added = node("node", "data", "add", "lung", "cases", "--baseline", "last")
    assert added.code == 0
    assert "lung: 1 case" in added.data
    assert f"{first.removesuffix('_scan-1')} scan-1" in added.data
    assert "clinical  1" in added.data


def test_patterns_choose_series_and_regions(node: CommandLine, home: Path) -> None:
    """The fix of a refusal is the option that helps."""
    dicom.write(home / "export" / "z", *pet(series="head"))
    done = node("node", "data", "import", "export", "cases", "--jobs", "1")
    assert "several_series" in done.data
    assert "--pet-series PATTERN" in done.data
    done = node(
        *("node", "data", "import", "export", "cases", "--jobs", "1"),
        *("--pet-series", "PT*", "--ct-series", "CT*", "--roi", "GTV*", "--roi", "node*"),
    )
    assert done.code == 0
    assert "  left out: PET series not asked for: 5 files" in done.data


def test_the_operator_may_say_that_unnamed_tracers_are_fdg(node: CommandLine, home: Path) -> None:
    """In any case of letters; of another tracer no SUV are made, whoever says it."""

    def unname(one: Dataset) -> None:
        one.RadiopharmaceuticalInformationSequence[0].Radiopharmaceutical = ""

    dicom.write(home / "export" / "x", *pet(unname), *ct())
    assert ": refused: tracer_not_named: " in node(*IMPORT).data
    done = node(*IMPORT, "--tracer", "fdg")
    assert done.code == 0
    assert "note: its PET names no tracer: FDG by the operator's word" in done.data
    assert node(*IMPORT, "--tracer", "PSMA").code == 2


def test_an_empty_folder_is_an_error(node: CommandLine, home: Path) -> None:
    """What, why and fix."""
    (home / "nothing").mkdir()
    done = node("node", "data", "import", "nothing", "cases")
    assert (done.code, done.data) == (1, "")
    assert "error: nothing to import was found" in done.talk
