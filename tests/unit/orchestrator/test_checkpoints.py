"""Checkpoints: models and records where people find them."""

import json
from pathlib import Path

import pytest

from fedmq.errors import StorageError
from fedmq.messages.fields import PlanReference
from fedmq.messages.submissions import ExperimentReport, ExperimentSpec, RoundRecord
from fedmq.orchestrator.checkpoints import Checkpoints
from fedmq.types import Digest, ExperimentId

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


def test_a_model_keeps_its_name_when_the_payload_goes(tmp_path: Path) -> None:
    """The bytes are shared, not copied, and outlive the payload."""
    payload = tmp_path / "payload"
    payload.write_bytes(b"model")
    checkpoints = Checkpoints(tmp_path / "experiments")
    checkpoints.keep_model(LUNG, 3, payload)
    kept = tmp_path / "experiments" / "lung" / "round-0003.safetensors"
    assert kept.samefile(payload)
    payload.unlink()
    assert kept.read_bytes() == b"model"


def test_keeping_a_model_again_changes_nothing(tmp_path: Path) -> None:
    """As after a crash; also when the payload is gone by then."""
    payload = tmp_path / "payload"
    payload.write_bytes(b"model")
    checkpoints = Checkpoints(tmp_path)
    checkpoints.keep_model(LUNG, 0, payload)
    checkpoints.keep_model(LUNG, 0, payload)
    payload.unlink()
    checkpoints.keep_model(LUNG, 0, payload)
    checkpoints.keep_model(LUNG, 1, payload)
    assert [path.name for path in (tmp_path / "lung").iterdir()] == ["round-0000.safetensors"]


def test_there_is_one_line_for_each_round_and_the_experiment_beside_it(tmp_path: Path) -> None:
    """Written again whole: a second time, and with a round more."""
    checkpoints = Checkpoints(tmp_path)
    for report in (a_report(2), a_report(2), a_report(3)):
        checkpoints.keep_report(report)
    lines = (tmp_path / "lung" / "rounds.jsonl").read_text().splitlines()
    assert [RoundRecord.model_validate_json(line) for line in lines] == a_report(3).records
    shown = json.loads((tmp_path / "lung" / "experiment.json").read_text())
    assert (shown["state"], shown["round"]) == ("training", 4)
    assert "records" not in shown
    assert len(list((tmp_path / "lung").iterdir())) == 2


def test_a_record_that_is_added_makes_the_file_that_all_records_make(tmp_path: Path) -> None:
    """And what a crash tore is whole when all are written again."""
    checkpoints = Checkpoints(tmp_path)
    path = tmp_path / "lung" / "rounds.jsonl"
    checkpoints.keep_report(a_report(3))
    whole = path.read_bytes()
    checkpoints.keep_report(a_report(2))
    checkpoints.add_record(LUNG, a_report(3).records[2])
    assert path.read_bytes() == whole
    path.write_bytes(whole[:-7])
    checkpoints.keep_report(a_report(3))
    assert path.read_bytes() == whole


def test_a_folder_that_cannot_be_written_says_what_to_do(tmp_path: Path) -> None:
    """Here a file stands where the folder would be."""
    (tmp_path / "lung").write_text("in the way")
    (tmp_path / "payload").write_text("model")
    checkpoints = Checkpoints(tmp_path)
    with pytest.raises(StorageError, match=r"rounds\.jsonl could not be written.*fix: free space"):
        checkpoints.keep_report(a_report(1))
    with pytest.raises(StorageError, match=r"round-0001\.safetensors could not be written"):
        checkpoints.keep_model(LUNG, 1, tmp_path / "payload")
    with pytest.raises(StorageError, match=r"rounds\.jsonl could not be written"):
        checkpoints.add_record(LUNG, a_report(1).records[0])
