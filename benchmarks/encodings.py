"""Encodings: bytes of updates, what they do to what is learnt, how fast they are; lossless ones.

What is learnt is measured by whole rehearsals: the real services, the real plans on invented
patients, the same patients and the same seed for each encoding. So each difference is of one
encoding and of nothing else.
"""

import importlib
import statistics
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.progress import say
from benchmarks.simulation import be_silent
from fedmq.disk import LocalDisk, NewFile, StoredFile
from fedmq.encodings.kinds import Encoding, Kind
from fedmq.encodings.layouts import encoded_layout
from fedmq.encodings.reader import EncodedUpdate
from fedmq.encodings.writer import UpdateWriter
from fedmq.errors import FedmqError
from fedmq.imaging.datasets import find_cases
from fedmq.learning.catalogue import load_plan
from fedmq.learning.configs import make_config
from fedmq.learning.plan import Task
from fedmq.messages.submissions import ExperimentReport
from fedmq.parameters import Parameters, blocks, file_layout, save_parameters, subtract_array
from fedmq.researcher.experiment import Experiment
from fedmq.researcher.run import ratio
from fedmq.simulation.rehearsal import Rehearsal
from fedmq.simulation.script import Script, Wishes, write_script
from fedmq.simulation.shared_trainer import SharedTrainer

Figures = dict[str, object]
Codec = Callable[[bytes], bytes]

_NODES: Final = 4
_MB: Final = 1_000_000
_ITEMS: Final = 11 * _MB
"""44 MB of float32."""
_PIECE: Final = 4 * 65_536
_SENT_BYTES: Final = 1 << 20
"""Bytes that are compressed at a time, as chunks travel."""
_WORD: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Learning:
    """A plan, how it is set, and what of it is compared."""

    plan: str
    config: Mapping[str, object]
    num_cases: int
    """Of each node."""
    num_rounds: int
    metrics: tuple[str, ...]


LEARNINGS: Final = (
    Learning(
        plan="clinical-logistic",
        config={},
        num_cases=48,
        num_rounds=10,
        metrics=("loss", "accuracy"),
    ),
    Learning(
        plan="petct-survival",
        config={"spacing_mm": 16.0, "shape": [36, 28, 68]},
        num_cases=32,
        num_rounds=8,
        metrics=("loss", "c_index"),
    ),
)
ENCODINGS: Final = (
    *(Encoding(kind=kind) for kind in Kind if kind is not Kind.TOP_K),
    Encoding(kind=Kind.TOP_K, share=0.1),
    Encoding(kind=Kind.TOP_K, share=0.01),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How updates and models travel."""

    updates: Encoding
    models: Kind = Kind.EXACT

    @property
    def key(self) -> str:
        """What its figures begin with."""
        return _key(self.updates) + ("" if self.models is Kind.EXACT else "_both_ways")


WAYS: Final = (
    *(Way(updates=one) for one in ENCODINGS),
    Way(updates=Encoding(kind=Kind.BF16), models=Kind.BF16),
)


def measure(num_seeds: int) -> Figures:
    """Return bytes, speed and what is learnt with each encoding, and what lossless ones save."""
    be_silent()
    figures: Figures = {"seeds": num_seeds, "nodes": _NODES}
    with tempfile.TemporaryDirectory(prefix="fedmq-bench-") as name:
        folder = Path(name)
        for encoding in ENCODINGS:
            figures |= _measure_speed(folder, encoding)
        for learning in LEARNINGS:
            figures |= _measure_learning(learning, num_seeds, folder / learning.plan)
        figures |= _measure_lossless(folder / "updates")
    return figures


def _key(encoding: Encoding) -> str:
    return str(encoding).replace("-", "_").replace(" ", "_").replace(".", "")


# What is learnt.


def _measure_learning(learning: Learning, num_seeds: int, folder: Path) -> Figures:
    results: dict[Way, list[ExperimentReport]] = {one: [] for one in WAYS}
    for seed in range(num_seeds):
        place = folder / str(seed)
        place.mkdir(parents=True)
        script = write_script(
            _experiment(learning, seed), Wishes(num_cases=learning.num_cases), place
        )
        with closing(SharedTrainer(place / "trainer")) as trainer:
            for way in WAYS:
                report = _rehearse(script, place / way.key, trainer, way)
                results[way].append(report)
                say(f"{learning.plan}, seed {seed}, {way.key}: {_metrics(report)}")
    return _compare(learning, results)


def _experiment(learning: Learning, seed: int) -> Experiment:
    return Experiment(
        name="encodings",
        plan=learning.plan,
        dataset="invented",
        rounds=learning.num_rounds,
        quorum=_NODES,
        config=learning.config,
        seed=seed,
        validation_share=0.3,
    )


def _rehearse(script: Script, folder: Path, trainer: SharedTrainer, way: Way) -> ExperimentReport:
    wanted = {
        "update_encoding": way.updates.kind.value,
        "top_k_share": way.updates.share,
        "model_encoding": way.models.value,
    }
    staged = replace(script, spec=script.spec.model_copy(update=wanted))
    with closing(Rehearsal(staged, folder, trainer, lambda _node, _broken: None)) as rehearsal:
        report = rehearsal.submit().wait()
    if report.state != "finished":
        raise FedmqError(f"the rehearsal {report.state}", why=report.reason)
    return report


def _metrics(report: ExperimentReport) -> dict[str, float]:
    found = {name: ratio(one) for name, one in report.records[-1].metrics.items()}
    return {name: round(value, 6) for name, value in found.items() if value is not None}


def _compare(learning: Learning, results: Mapping[Way, list[ExperimentReport]]) -> Figures:
    """Return the metrics of the last round, and by how much each differs from the exact one's."""
    exact = results[WAYS[0]]
    figures: Figures = {}
    for way, reports in results.items():
        prefix = f"{learning.plan.replace('-', '_')}_{way.key}"
        figures[f"{prefix}_bytes_up"] = round(_bytes_up(reports))
        figures[f"{prefix}_bytes_over_exact"] = round(_bytes_up(reports) / _bytes_up(exact), 4)
        for metric in learning.metrics:
            found = [_metrics(one)[metric] for one in reports]
            away = [one - _metrics(other)[metric] for one, other in zip(found, exact, strict=True)]
            figures |= {
                f"{prefix}_{metric}": round(statistics.mean(found), 4),
                f"{prefix}_{metric}_low": min(found),
                f"{prefix}_{metric}_high": max(found),
                f"{prefix}_{metric}_change": round(statistics.mean(away), 5),
                f"{prefix}_{metric}_change_low": round(min(away), 5),
                f"{prefix}_{metric}_change_high": round(max(away), 5),
            }
    return figures


def _bytes_up(reports: list[ExperimentReport]) -> float:
    """Return what all nodes sent in a round, in the mean, with its messages."""
    return statistics.mean(record.bytes_up for one in reports for record in one.records)


# Bytes and speed.


def _measure_speed(folder: Path, encoding: Encoding) -> Figures:
    """Return the bytes of an update of 44 MB, and MB of it written and read in a second."""
    numbers = np.random.default_rng(1).normal(scale=1e-3, size=_ITEMS).astype("<f4")
    disk = LocalDisk(folder)
    save_parameters({"w": numbers}, folder / "model")
    layout = file_layout(StoredFile(disk, "model"))
    (tensor,) = layout.tensors
    began = time.perf_counter()
    writer = UpdateWriter(layout, encoding, NewFile(disk, "update"))
    for start, length in blocks(_ITEMS, _PIECE):
        writer.write(tensor, start, numbers[start : start + length])
    written = time.perf_counter()
    update = EncodedUpdate(StoredFile(disk, "update"), layout, encoding)
    if update.find_fault() is not None:
        raise FedmqError(f"{encoding} cannot be read")
    for start, length in blocks(_ITEMS, 65_536):
        update.read(tensor, start, length)
    read = time.perf_counter()
    size = layout.size_bytes
    key = _key(encoding)
    return {
        f"{key}_bytes_over_exact_44_mb": round(
            encoded_layout(layout, encoding)[0].size_bytes / size, 5
        ),
        f"{key}_write_mb_s": round(size / _MB / (written - began)),
        f"{key}_read_mb_s": round(size / _MB / (read - written)),
    }


# Lossless.


def _measure_lossless(folder: Path) -> Figures:
    """Return what is left of updates, compressed as they are, or their bytes sorted by place."""
    figures: Figures = {}
    for name, update in _updates(folder):
        words = np.concatenate([one.reshape(-1).astype("<f4") for one in update.values()])
        figures[f"lossless_{name}_mb"] = round(words.nbytes / _MB, 3)
        for codec, compress in _codecs():
            for way, content in (("plain", words.tobytes()), ("shuffled", _shuffle(words))):
                left, seconds = _compress(content, compress)
                key = f"lossless_{name}_{codec}_{way}"
                figures[f"{key}_left"] = round(left / words.nbytes, 4)
                figures[f"{key}_mb_s"] = round(words.nbytes / _MB / seconds, 1)
    return figures


def _updates(folder: Path) -> Iterator[tuple[str, Parameters]]:
    """Yield updates: normal numbers, and what two plans of the catalogue learn in round 2."""
    yield "normal", {"w": np.random.default_rng(2).normal(size=2 * _MB).astype("<f4")}
    for plan, config in (
        ("petct-survival", {"spacing_mm": 16.0, "shape": [36, 28, 68], "width": 64}),
        ("petct-segmentation", {"patch": [24, 24, 24], "width": 32, "epochs": 1}),
    ):
        place = folder / plan
        place.mkdir(parents=True)
        experiment = Experiment(
            name="lossless", plan=plan, dataset="invented", rounds=1, quorum=1, config=config
        )
        script = write_script(experiment, Wishes(num_nodes=1, num_cases=8), place)
        cases = find_cases(next(iter(script.folders.values())))
        plan_class = load_plan(plan)
        learner = plan_class(make_config(plan_class, config))
        before, after = script.initial, script.initial
        for number in (1, 2):
            task = Task(seed=1, round=number, report=lambda _share, _text: None)
            before, after = after, learner.train(after, cases, task).parameters
        yield (
            plan.replace("-", "_"),
            {name: subtract_array(after[name], before[name]) for name in before},
        )


def _codecs() -> Iterator[tuple[str, Codec]]:
    """Yield what compresses: of the standard library, and zstd where that is installed."""
    yield "zlib_1", lambda content: zlib.compress(content, 1)
    try:
        zstandard: Any = importlib.import_module("zstandard")
    except ModuleNotFoundError:
        say("zstd: not installed (pip install zstandard), not measured")
        return
    for level in (1, 3):
        yield f"zstd_{level}", zstandard.ZstdCompressor(level=level).compress


def _compress(content: bytes, compress: Codec) -> tuple[int, float]:
    began = time.perf_counter()
    left = sum(
        len(compress(content[start : start + length]))
        for start, length in blocks(len(content), _SENT_BYTES)
    )
    return left, time.perf_counter() - began


def _shuffle(words: NDArray[np.float32]) -> bytes:
    """Return the first bytes of all words of a piece, then the second ones, and so on."""
    pieces = (
        words[start : start + length] for start, length in blocks(len(words), _SENT_BYTES // _WORD)
    )
    return b"".join(piece.view(np.uint8).reshape(-1, _WORD).T.tobytes() for piece in pieces)
