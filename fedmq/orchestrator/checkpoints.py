"""Checkpoints: what an experiment leaves in its folder, for people and other programs.

<folder>/<experiment>/round-0003.safetensors   the model of each round, round 0 the initial one
<folder>/<experiment>/late-0003.chu-lyon.safetensors   an update that came too late, if kept
<folder>/<experiment>/rounds.jsonl             one record for each closed round
<folder>/<experiment>/experiment.json          the experiment as it stands
"""

import os
from pathlib import Path
from typing import Final

from fedmq.errors import StorageError
from fedmq.messages.submissions import ExperimentReport, RoundRecord
from fedmq.types import ExperimentId, NodeId

_RECORDS: Final = "rounds.jsonl"


class Checkpoints:
    """The folder of all experiments."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def folder(self, experiment: ExperimentId) -> Path:
        """Return the folder of an experiment."""
        return self._folder / experiment

    def keep_model(self, experiment: ExperimentId, number: int, payload: Path) -> None:
        """Give the model of a round its name; the bytes are shared with the payload."""
        self._link(self.folder(experiment) / f"round-{number:04d}.safetensors", payload)

    def keep_late(self, experiment: ExperimentId, number: int, node: NodeId, payload: Path) -> None:
        """Give an update that is in no model a name; the bytes are shared with the payload."""
        self._link(self.folder(experiment) / f"late-{number:04d}.{node}.safetensors", payload)

    def _link(self, target: Path, payload: Path) -> None:
        if target.exists() or not payload.exists():
            return
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.hardlink_to(payload)
            # The payload may go as soon as this returns.
            _sync_folder(target.parent)
        except OSError as error:
            raise _refused(target, error) from error

    def keep_report(self, report: ExperimentReport) -> None:
        """Write the experiment and all its records, each file whole or not at all."""
        folder = self.folder(ExperimentId(report.experiment))
        _write(folder / _RECORDS, "".join(map(_line, report.records)))
        self.keep_summary(report)

    def keep_summary(self, report: ExperimentReport) -> None:
        """Write the experiment alone, whole or not at all."""
        _write(
            self.folder(ExperimentId(report.experiment)) / "experiment.json",
            report.model_dump_json(indent=2, exclude={"records"}) + "\n",
        )

    def add_record(self, experiment: ExperimentId, record: RoundRecord) -> None:
        """Write one more record; a crash may tear it, `keep_report` mends that."""
        path = self.folder(experiment) / _RECORDS
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(_line(record))
        except OSError as error:
            raise _refused(path, error) from error


def _line(record: RoundRecord) -> str:
    return record.model_dump_json() + "\n"


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise _refused(path, error) from error


def _refused(path: Path, error: OSError) -> StorageError:
    return StorageError(
        f"{path.name} could not be written",
        why=error.strerror or str(error),
        fix="free space on the disk, or give the program the right to its folder",
    )
