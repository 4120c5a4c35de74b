"""Checkpoints: what an experiment leaves in its folder, for people and other programs.

<folder>/<experiment>/round-0003.safetensors   the models of the last rounds; round 0 is the initial
<folder>/<experiment>/late-0003.chu-lyon.safetensors   an update that came too late, if kept
<folder>/<experiment>/rounds.jsonl             one record for each closed round
<folder>/<experiment>/experiment.json          the experiment as it stands
"""

import re
from collections.abc import Iterable
from itertools import chain, islice
from typing import Final

from fedmq.disk import Disk
from fedmq.messages.submissions import ExperimentReport, RoundRecord
from fedmq.transport.home import Home
from fedmq.types import Digest, ExperimentId, NodeId

FOLDER: Final = "experiments"
_RECORDS: Final = "rounds.jsonl"
_SUMMARY: Final = "experiment.json"
_TEXTS: Final = 500
"""So many records are written at a time."""
_MODEL: Final = re.compile(r"round-(\d{4,})\.safetensors")


class Checkpoints:
    """The folders of all experiments; models are linked from `payloads`, which shares their bytes.

    All that fails is a StorageError.
    """

    def __init__(self, home: Home, payloads: Disk, *, part: str) -> None:
        """`part` tells files that are being written from those of other programs."""
        self._home = home
        self._part = part
        self._payloads = payloads

    def keep_model(self, experiment: ExperimentId, number: int, payload: Digest) -> None:
        """Give the model of a round its name."""
        self._link(experiment, f"round-{number:04d}.safetensors", payload)

    def keep_late(
        self, experiment: ExperimentId, number: int, node: NodeId, payload: Digest
    ) -> None:
        """Give an update that is in no model a name."""
        self._link(experiment, f"late-{number:04d}.{node}.safetensors", payload)

    def drop_models(self, experiment: ExperimentId, newest: int) -> None:
        """Remove the models of the rounds up to `newest`."""
        disk = self._disk(experiment)
        for name, number in models(disk):
            if number <= newest:
                disk.remove(name)

    def keep_report(self, report: ExperimentReport, records: Iterable[RoundRecord]) -> None:
        """Write the experiment and all its records, each file whole or not at all."""
        disk = self._disk(ExperimentId(report.experiment))
        self._write(disk, _RECORDS, map(_line, records))
        self.keep_summary(report)

    def keep_summary(self, report: ExperimentReport) -> None:
        """Write the experiment alone, whole or not at all."""
        text = report.model_dump_json(indent=2, exclude={"records"}) + "\n"
        self._write(self._disk(ExperimentId(report.experiment)), _SUMMARY, [text])

    def add_record(self, experiment: ExperimentId, record: RoundRecord) -> None:
        """Write one more record; a crash may tear it, `keep_report` mends that."""
        disk = self._disk(experiment)
        disk.write(_RECORDS, disk.size_bytes(_RECORDS) or 0, _line(record).encode())

    def _link(self, experiment: ExperimentId, name: str, payload: Digest) -> None:
        disk = self._disk(experiment)
        if disk.size_bytes(name) is None:
            if self._payloads.size_bytes(payload) is None:
                return
            self._payloads.link(payload, disk, name)
        # The payload may go as soon as this returns; a name may be of a life that did not sync it.
        # Its bytes outlive a crash since it has been whole.
        disk.sync_names()

    def _write(self, disk: Disk, name: str, texts: Iterable[str]) -> None:
        """Write a file whole or not at all; not all of it is in memory at a time."""
        partial = f"{name}.{self._part}.part"
        disk.remove(partial)
        left = iter(texts)
        pieces = iter(lambda: "".join(islice(left, _TEXTS)).encode(), b"")
        size = 0
        for piece in chain([next(pieces, b"")], pieces):
            disk.write(partial, size, piece)
            size += len(piece)
        disk.sync(partial)
        disk.rename(partial, name)

    def _disk(self, experiment: ExperimentId) -> Disk:
        return self._home.disk(FOLDER, experiment)


def models(disk: Disk) -> list[tuple[str, int]]:
    """Return the file of each model in an experiment's folder, and its round, in order."""
    found = [(name, _MODEL.fullmatch(name)) for name in disk.names()]
    return sorted(((name, int(match[1])) for name, match in found if match), key=lambda one: one[1])


def _line(record: RoundRecord) -> str:
    return record.model_dump_json() + "\n"
