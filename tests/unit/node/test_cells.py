"""Files of jobs on their way into a trainer's cell, and out."""

import contextlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fedmq.errors import DatasetError, TrainingError
from fedmq.imaging.baseline import BaselineRule
from fedmq.imaging.contents import MapChoices, choose_map, find_map
from fedmq.imaging.datasets import find_cases
from fedmq.imaging.layouts.data_map import DataMap, Layout
from fedmq.learning.trainer_protocol import Done, Job, JobKind
from fedmq.node.cells import (
    answer_fault,
    hand_in,
    output_bytes,
    remove_folder,
    take_out,
)
from fedmq.node.shown_cases import readable_paths, shown_names
from tests.support.closed import closed, own_folder
from tests.support.layouts import put_autopet, put_bids, put_folders, put_hecktor
from tests.support.tiny_plan import write_job


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder of a cell."""
    for name in ("in", "out"):
        (tmp_path / "cell" / name).mkdir(parents=True)
    return tmp_path / "cell"


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """Return a job with its files."""
    return write_job(tmp_path)


def test_a_job_goes_in_under_names_that_stay(job: Job, folder: Path) -> None:
    """Nothing of the job before is left; the model is a second name, no copy."""
    (folder / "out" / "output").write_text("of the job before")
    inner = hand_in(job, folder)
    assert inner.parameters_path == str(folder / "in" / "model")
    assert Path(str(inner.parameters_path)).samefile(str(job.parameters_path))
    assert Path(str(inner.source_path)).read_bytes() == Path(str(job.source_path)).read_bytes()
    assert (folder / "out" / "output").read_bytes() == b""
    hand_in(write_job(folder.parent, parameters_path=None, source_path=None), folder)
    assert not list((folder / "in").iterdir())


def test_what_comes_out_is_a_file_of_its_own(job: Job, folder: Path) -> None:
    """A link, a pipe, a folder and a second name are none, and are gone before they are opened."""
    place, output = Path(str(job.output_path)), folder / "out" / "output"
    output.write_bytes(b"trained")
    assert take_out(job, folder) == ""
    assert place.read_bytes() == b"trained"
    place.unlink()
    (folder / "secret").write_bytes(b"secret")
    for make in (
        lambda: output.symlink_to(folder / "secret"),
        lambda: os.mkfifo(output),
        output.mkdir,
        lambda: output.hardlink_to(folder / "secret"),
    ):
        make()
        assert "no file of their own" in take_out(job, folder)
        assert not place.is_symlink()
        assert not place.exists()
    assert "not there" in take_out(job, folder)


SHOWN = ("case-1", "case-2", "case-3")


@pytest.mark.parametrize(
    ("kind", "counts", "cases", "is_fault"),
    [
        (JobKind.TRAIN, (2, 2, 1), SHOWN[:2], False),
        (JobKind.EVALUATE, (1, 2, 1), SHOWN[2:], False),
        (JobKind.PREPARE, (2, 2, 1), (), False),
        (JobKind.TRAIN, (4, 2, 1), SHOWN[:2], True),
        (JobKind.TRAIN, (2, 2, 2), SHOWN[:2], True),
        (JobKind.TRAIN, (2, 2, 1), (), True),
        (JobKind.TRAIN, (2, 2, 1), ("case-1", "case-1"), True),
        (JobKind.TRAIN, (2, 2, 1), SHOWN, True),
        (JobKind.TRAIN, (2, 2, 1), ("case-1", "case-9"), True),
        (JobKind.EVALUATE, (1, 2, 1), SHOWN[:2], True),
    ],
)
def test_cases_that_were_not_shown_are_a_fault(
    job: Job, kind: JobKind, counts: tuple[int, int, int], cases: tuple[str, ...], *, is_fault: bool
) -> None:
    """And more than there are, one twice, and others than are counted."""
    trained, training, validating = counts
    done = Done(
        job_id=job.job_id,
        num_cases=trained,
        metrics={},
        num_training_cases=training,
        num_validation_cases=validating,
        num_cases_left_out=0,
        cases=cases,
    )
    assert bool(answer_fault(replace(job, kind=kind), done, SHOWN)) is is_fault


def test_links_in_a_dataset_are_followed(job: Job, tmp_path: Path) -> None:
    """Of cases, and of files of cases: to where they say, and to where that leads."""
    cases, archive = Path(job.dataset_folder), tmp_path / "archive"
    (archive / "v2").mkdir(parents=True)
    (archive / "pet").write_text("x")
    (archive / "now").symlink_to("v2")
    (cases / "case-9").symlink_to(archive / "now")
    (cases / "case-1" / "PET.nii").symlink_to(archive / "pet")
    found = readable_paths(job, tmp_path / "home")
    assert set(found) == {cases, archive / "now", archive / "v2", archive / "pet"}


@pytest.mark.parametrize("link", ["tables", "tables/now", "tables/now/outcomes.csv"])
def test_a_link_to_the_table_is_followed(job: Job, tmp_path: Path, link: str) -> None:
    """However deep it lies: one that lay deeper than the volumes a contained trainer had not."""
    folder, archive = tmp_path / "images", tmp_path / "archive"
    table = folder / "tables" / "now" / "outcomes.csv"
    table.parent.mkdir(parents=True)
    table.write_text("case_id,x\nA,1\n")
    (folder / "A.nii").touch()
    (folder / link).rename(archive)
    (folder / link).symlink_to(archive)
    data_map = DataMap(
        layout=Layout.PATTERNS,
        volumes={"PET": ("{case}.nii",)},
        table=str(table.relative_to(folder)),
    )
    flat = replace(job, dataset_folder=str(folder), data_map=data_map)
    assert readable_paths(flat, tmp_path / "home") == (folder, archive)
    other = tmp_path / "other.csv"
    elsewhere = replace(flat, clinical=str(other))
    found = readable_paths(elsewhere, tmp_path / "home")
    assert found == ((folder, other, archive) if link == "tables" else (folder, other))


@pytest.mark.parametrize("withdrawn", [(), (("case-2", ()),)])
def test_links_that_lead_in_a_circle_are_passed_over(
    tmp_path: Path, folder: Path, withdrawn: tuple[tuple[str, tuple[str, ...]], ...]
) -> None:
    """Of a case and of the table, by itself or by another: the other links are shown."""
    job = write_job(tmp_path, withdrawn=withdrawn)
    cases, archive = Path(job.dataset_folder), tmp_path / "pet"
    archive.touch()
    (cases / "clinical.csv").unlink()
    for link, target in {
        "case-1/again.nii.gz": "again.nii.gz",
        "case-1/there.nii.gz": "../case-3/and",
        "case-3/and": "../case-1/there.nii.gz",
        "clinical.csv": "other.csv",
        "other.csv": "clinical.csv",
        "case-5/PET.nii": str(archive),
    }.items():
        (cases / link).symlink_to(target)
    found = readable_paths(job, tmp_path / "home")
    others = [cases / f"case-{number}" for number in (1, 3, 4, 5)]
    assert found == (*(others if withdrawn else [cases]), archive)
    assert hand_in(job, folder).clinical is None
    if not withdrawn:
        named = replace(job, clinical=str(cases / "clinical.csv"))
        assert archive in readable_paths(named, tmp_path / "home")


def test_what_the_nodes_user_may_not_read_stops_no_job() -> None:
    """A folder of one case, what links lead to, the dataset's own: the trainer says it."""
    with own_folder() as place:
        job = write_job(place)
        cases, archive = Path(job.dataset_folder), place / "archive"
        (archive / "secret").mkdir(parents=True)
        for name in ("secret/pet", "pet", "row"):
            (archive / name).touch()
        (cases / "case-1" / "PET.nii").symlink_to(archive / "secret" / "pet")
        (cases / "case-3" / "PET.nii").touch()
        (cases / "case-5" / "PET.nii").symlink_to(archive / "pet")
        (place / "cell" / "in").mkdir(parents=True)
        (place / "cell" / "out").mkdir()
        gone = replace(job, withdrawn=(("case-2", ()),))
        (cases / "case-3").chmod(0o400)
        with closed(archive / "secret"):
            for one in (job, gone):
                found = readable_paths(one, place / "home")
                assert archive / "pet" in found
                assert archive / "secret" / "pet" not in found
        (cases / "case-3").chmod(0o700)
        with closed(cases):
            for one in (job, gone):
                inner = [replace(one, dataset_folder=str(cases / "case-3")), one]
                for below in inner:
                    readable_paths(below, place / "home")
                    assert shown_names(below) == frozenset()
                    assert hand_in(below, place / "cell").dataset_folder == below.dataset_folder


@pytest.mark.parametrize("withdrawn", [(), (("case-2", ()),)])
def test_a_table_that_may_not_be_read_is_missed(
    withdrawn: tuple[tuple[str, tuple[str, ...]], ...],
) -> None:
    """By a trainer whose cell has no way to it: no round goes on without the rows."""
    with own_folder() as place:
        job = write_job(place, withdrawn=withdrawn)
        table = Path(job.dataset_folder) / "clinical.csv"
        (place / "secret").mkdir()
        table.symlink_to(table.rename(place / "secret" / "rows.csv"))
        for name in ("in", "out"):
            (place / "cell" / name).mkdir(parents=True)
        with closed(place / "secret"):
            inner = hand_in(job, place / "cell")
            given = Path(str(inner.clinical))
            assert given == (Path(inner.dataset_folder) / "clinical.csv" if withdrawn else table)
            with pytest.raises(DatasetError):
                find_cases(Path(inner.dataset_folder), given)


def test_a_dataset_that_holds_the_nodes_folder_is_not_shown(job: Job) -> None:
    """Its journal and credentials would be among what a plan may read."""
    with pytest.raises(TrainingError) as caught:
        readable_paths(job, Path(job.dataset_folder) / "case-1" / "node")
    assert "FEDMQ_HOME" in caught.value.fix


def test_a_withdrawn_case_is_not_among_what_is_shown(tmp_path: Path, folder: Path) -> None:
    """Of the dataset the folders of the others, and a table without its row: nothing else."""
    job = write_job(tmp_path, withdrawn=(("case-2", ()),))
    cases = Path(job.dataset_folder)
    (cases / "list.txt").write_text("case-2")
    others = [f"case-{number}" for number in (1, 3, 4, 5)]
    assert readable_paths(job, tmp_path / "home") == tuple(cases / name for name in others)
    inner = hand_in(job, folder)
    shown = Path(inner.dataset_folder)
    assert shown.is_relative_to(folder / "in")
    assert sorted(place.name for place in shown.iterdir()) == [*others, "clinical.csv"]
    found = find_cases(shown, without=("case-2",))
    assert [case.clinical["x"] for case in found] == ["1", "3", "4", "5"]
    assert "case-2" not in (shown / "clinical.csv").read_text()
    assert hand_in(write_job(tmp_path), folder).dataset_folder == str(cases)
    assert not shown.exists()


def test_a_table_elsewhere_is_shown_without_the_withdrawn(tmp_path: Path, folder: Path) -> None:
    """As a copy; one without another row is none, and one that is missing stays missing."""
    job = write_job(tmp_path, withdrawn=(("case-2", ()),))
    table = tmp_path / "table.csv"
    for text, is_shown in (("case_id,x\ncase-2,9\ncase-3,8\n", True), ("case_id\ncase-2\n", False)):
        table.write_text(text)
        job = write_job(tmp_path, withdrawn=(("case-2", ()),), clinical=str(table))
        assert table not in readable_paths(job, tmp_path / "home")
        clinical = hand_in(job, folder).clinical
        assert (clinical is not None) is is_shown
        assert clinical is None or "case-2" not in Path(clinical).read_text()
    table.unlink()
    assert hand_in(job, folder).clinical == str(table)


def test_a_link_to_a_withdrawn_case_is_not_followed(tmp_path: Path) -> None:
    """Neither to its files nor to a folder that holds it: the operator is told."""
    job = write_job(tmp_path, withdrawn=(("case-2", ()),))
    cases = Path(job.dataset_folder)
    for link, target in (("case-3/PET.nii", cases / "case-2" / "PET.nii"), ("case-9", cases)):
        (cases / link).symlink_to(target)
        with pytest.raises(TrainingError) as caught:
            readable_paths(job, tmp_path / "home")
        assert "withdrawn" in caught.value.why
        (cases / link).unlink()
    assert readable_paths(job, tmp_path / "home")


def test_of_files_that_lie_together_those_of_others_are_shown(tmp_path: Path, folder: Path) -> None:
    """Flat layouts: file by file with sidecars, links resolved; the trainer finds the same."""
    cases = tmp_path / "flat"
    put_hecktor(cases)
    sidecar = cases / "imagesTr" / "CHUP-001__PT.json"
    sidecar.write_text('{"fedmq": {"scan_day": -3}}')
    elsewhere = (cases / "labelsTr" / "CHUP-001.nii.gz").rename(tmp_path / "mask.nii.gz")
    (cases / "labelsTr" / "CHUP-001.nii.gz").symlink_to(elsewhere)
    data_map = find_map(cases)
    changes = {"dataset_folder": str(cases), "data_map": data_map}
    job = write_job(tmp_path, withdrawn=(("CHUM-002", ("CT", "PET")),), **changes)
    readable = readable_paths(job, tmp_path / "home")
    assert all(path.is_file() for path in readable)
    assert {elsewhere, sidecar} <= set(readable)
    assert not any("CHUM-002" in path.name for path in readable)
    inner = hand_in(job, folder)
    shown = Path(inner.dataset_folder)
    assert not any("CHUM-002" in path.name for path in shown.rglob("*"))
    assert "CHUM-002" not in Path(str(inner.clinical)).read_text()
    found = find_cases(shown, Path(str(inner.clinical)), data_map=inner.data_map)
    before = find_cases(cases, data_map=data_map, without=["CHUM-002"])
    assert [one.clinical for one in found] == [one.clinical for one in before]
    assert [{word: path.resolve() for word, path in one.volumes.items()} for one in found] == [
        {word: path.resolve() for word, path in one.volumes.items()} for one in before
    ]
    (cases / "labelsTr" / "CHUM-010.nii.gz").unlink()
    (cases / "labelsTr" / "CHUM-010.nii.gz").symlink_to("CHUM-002.nii.gz")
    with pytest.raises(TrainingError, match="cannot be shown"):
        readable_paths(job, tmp_path / "home")


@pytest.mark.parametrize("put", [put_bids, put_autopet, put_folders])
def test_folders_of_several_scans_go_whole(
    tmp_path: Path, folder: Path, put: Callable[[Path], None]
) -> None:
    """All scans of a withdrawn case, with its sessions file; of the others all."""
    cases = tmp_path / "several"
    put(cases)
    data_map = choose_map(cases, MapChoices(baseline=BaselineRule()))
    first, second = find_cases(cases, data_map=data_map)
    changes = {"dataset_folder": str(cases), "data_map": data_map}
    for gone, left in ((first, second), (second, first)):
        job = write_job(tmp_path, withdrawn=((gone.case_id, ("PET",)),), **changes)
        inner = hand_in(job, folder)
        shown = Path(inner.dataset_folder)
        assert not any(gone.case_id in str(path.relative_to(shown)) for path in shown.rglob("*"))
        clinical = None if inner.clinical is None else Path(inner.clinical)
        (case,) = find_cases(shown, clinical, data_map=inner.data_map)
        assert (case.case_id, case.clinical) == (left.case_id, left.clinical)
        assert [path.resolve() for path in case.volumes.values()] == list(left.volumes.values())


def test_a_row_under_another_name_goes_with_its_case(tmp_path: Path, folder: Path) -> None:
    """By the aliases of the map; a table in another encoding is shown in UTF-8."""
    job = write_job(
        tmp_path,
        withdrawn=(("case-2", ()),),
        data_map=DataMap(encoding="windows-1252", aliases={"zwei": "case-2", "drei": "case-3"}),
    )
    table = Path(job.dataset_folder) / "clinical.csv"
    table.write_bytes("case_id,x\nzwei,Zo\xe9\ndrei,Zo\xe9\ncase-4,1\nnobody,5\n".encode("cp1252"))
    inner = hand_in(job, folder)
    assert Path(str(inner.clinical)).read_text().split() == ["case_id,x", "drei,Zo\xe9", "case-4,1"]
    found = find_cases(
        Path(inner.dataset_folder), Path(str(inner.clinical)), data_map=inner.data_map
    )
    assert [case.clinical.get("x") for case in found] == [None, "Zo\xe9", "1", None]


def test_an_output_may_be_larger_than_its_model(job: Job) -> None:
    """By its arrays in another type, and what a file has beside them."""
    assert output_bytes(job) > 16 * 2**20


def test_a_folder_is_removed_however_deep_it_is(tmp_path: Path) -> None:
    """Deeper than a path can say."""
    place = tmp_path / "deep"
    place.mkdir()
    with contextlib.chdir(place):
        for _ in range(3000):
            Path("d").mkdir()
            os.chdir("d")
    remove_folder(place)
    assert not place.exists()
