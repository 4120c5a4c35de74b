"""Checkpoints: models and records where people find them."""

import json
from pathlib import Path

import pytest

from fedmq.disk import LocalDisk
from fedmq.errors import StorageError
from fedmq.messages.fields import PlanReference
from fedmq.messages.mandates import ExperimentSpec
from fedmq.messages.submissions import ExperimentReport, RoundRecord
from fedmq.orchestrator.checkpoints import Checkpoints
from fedmq.transport.home import LocalHome
from fedmq.types import Digest, ExperimentId, NodeId

LUNG = ExperimentId("lung")


def a_report(num_records: int) -> ExperimentReport:
    """Return an experiment with so many closed rounds."""
    return ExperimentReport(
        experiment=LUNG,
        spec=ExperimentSpec(
            name="lung",
            purpose="a test",
            plan=PlanReference(name="plan", digest=Digest("0" * 64), is_shipped=False),
            dataset="lung-petct",
            num_rounds=9,
            quorum=1,
        ),
        state="training",
        reason="waiting for chu-lyon",
        round=num_records + 1,
        model=None,
        records=[
            RoundRecord(
                round=number,
                attempt=0,
                model=Digest(f"{number:064x}"),
                outcomes=[],
                train_metrics={},
                metrics={},
                bytes_up=1,
                bytes_down=2,
                duration_s=3.0,
            )
            for number in range(1, num_records + 1)
        ],
    )


MODEL = Digest("a" * 64)


@pytest.fixture
def payloads(tmp_path: Path) -> LocalDisk:
    """Return the folder of models and updates."""
    return LocalDisk(tmp_path / "payloads")


@pytest.fixture
def checkpoints(tmp_path: Path, payloads: LocalDisk) -> Checkpoints:
    """Return the checkpoints of an orchestrator whose home is `tmp_path`."""
    return Checkpoints(LocalHome(tmp_path), payloads, part="7")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder of the experiment."""
    return tmp_path / "experiments" / "lung"


def test_a_model_keeps_its_name_when_the_payload_goes(
    checkpoints: Checkpoints, payloads: LocalDisk, folder: Path
) -> None:
    """The bytes are shared, not copied, and outlive the payload."""
    payloads.write(MODEL, 0, b"model")
    checkpoints.keep_model(LUNG, 3, MODEL)
    kept = folder / "round-0003.safetensors"
    assert kept.samefile(payloads.path(MODEL))
    payloads.remove(MODEL)
    assert kept.read_bytes() == b"model"


def test_a_late_update_is_kept_beside_the_models(
    checkpoints: Checkpoints, payloads: LocalDisk, folder: Path
) -> None:
    """Under the names of its round and its node."""
    payloads.write(MODEL, 0, b"update")
    checkpoints.keep_late(LUNG, 3, NodeId("chu-lyon"), MODEL)
    assert (folder / "late-0003.chu-lyon.safetensors").read_bytes() == b"update"


def test_a_model_is_kept_once_and_only_if_it_is_there(
    checkpoints: Checkpoints, payloads: LocalDisk, folder: Path
) -> None:
    """After a crash it is kept again: nothing changes."""
    payloads.write(MODEL, 0, b"model")
    checkpoints.keep_model(LUNG, 0, MODEL)
    checkpoints.keep_model(LUNG, 0, MODEL)
    payloads.remove(MODEL)
    checkpoints.keep_model(LUNG, 0, MODEL)
    checkpoints.keep_model(LUNG, 1, MODEL)
    assert [path.name for path in folder.iterdir()] == ["round-0000.safetensors"]


def test_models_up_to_a_round_are_dropped_and_nothing_else(
    checkpoints: Checkpoints, payloads: LocalDisk, folder: Path
) -> None:
    """The last ones stay, and what is no model; a second time changes nothing."""
    payloads.write(MODEL, 0, b"model")
    for number in (0, 1, 9, 10, 12_345):
        checkpoints.keep_model(LUNG, number, MODEL)
    checkpoints.keep_late(LUNG, 1, NodeId("chu-lyon"), MODEL)
    for _ in range(2):
        checkpoints.drop_models(LUNG, 9)
    assert sorted(path.name for path in folder.iterdir()) == [
        "late-0001.chu-lyon.safetensors",
        "round-0010.safetensors",
        "round-12345.safetensors",
    ]


def test_there_is_one_line_for_each_round_and_the_experiment_beside_it(
    checkpoints: Checkpoints, folder: Path
) -> None:
    """Written again whole: a second time, with a round more, with very many; and with none."""
    many = a_report(1_234)
    checkpoints.keep_report(many, many.records)
    assert (folder / "rounds.jsonl").read_text().splitlines() == [
        record.model_dump_json() for record in many.records
    ]
    checkpoints.keep_report(a_report(0), [])
    assert (folder / "rounds.jsonl").read_bytes() == b""
    for report in (a_report(2), a_report(2), a_report(3)):
        checkpoints.keep_report(report, report.records)
    lines = (folder / "rounds.jsonl").read_text().splitlines()
    assert [RoundRecord.model_validate_json(line) for line in lines] == a_report(3).records
    shown = json.loads((folder / "experiment.json").read_text())
    assert (shown["state"], shown["round"]) == ("training", 4)
    assert "records" not in shown
    assert len(list(folder.iterdir())) == 2


def test_a_record_that_is_added_makes_the_file_that_all_records_make(
    checkpoints: Checkpoints, folder: Path
) -> None:
    """And what a crash tore is whole when all are written again."""
    path = folder / "rounds.jsonl"
    checkpoints.keep_report(a_report(3), a_report(3).records)
    whole = path.read_bytes()
    checkpoints.keep_report(a_report(2), a_report(2).records)
    checkpoints.add_record(LUNG, a_report(3).records[2])
    assert path.read_bytes() == whole
    path.write_bytes(whole[:-7])
    checkpoints.keep_report(a_report(3), a_report(3).records)
    assert path.read_bytes() == whole


def test_a_folder_that_cannot_be_written_says_what_to_do(
    checkpoints: Checkpoints, payloads: LocalDisk, folder: Path
) -> None:
    """Here a file stands where the folder would be."""
    folder.parent.mkdir()
    folder.write_text("in the way")
    payloads.write(MODEL, 0, b"model")
    with pytest.raises(StorageError, match=r"lung could not be .*fix: give the program the right"):
        checkpoints.keep_report(a_report(1), [])
    with pytest.raises(StorageError, match="lung could not be"):
        checkpoints.keep_model(LUNG, 1, MODEL)
    with pytest.raises(StorageError, match="lung could not be"):
        checkpoints.add_record(LUNG, a_report(1).records[0])
