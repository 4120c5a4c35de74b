"""What the broker keeps on its disk: sealed messages, and nothing of what is in them."""

import struct
from pathlib import Path
from typing import Final

import pytest

from fedmq.hub.broker import PrivateBroker
from tests.support.federation import (
    CENTRE,
    DATASET,
    LYON,
    PARIS,
    RESEARCHER,
    running_federation,
)

pytestmark = [pytest.mark.rabbitmq, pytest.mark.hub_broker]

PURPOSE: Final = "canary of the purpose, which nobody else reads"
COMMENT: Final = "# canary of the source, which nobody else reads\n"
METRIC: Final = 0.7310585786300049
"""What each node says of each model."""
SIZE: Final = 312_577
"""Numbers in the model: more than a chunk."""
_SLICE: Final = 48


def test_the_files_of_the_broker_hold_nothing_of_what_was_sent(tmp_path: Path) -> None:
    """Source, purpose, dataset, settings, names of parameters, metrics, models and updates.

    What the docs say that it sees is there, in the same messages: so they were looked through.
    """
    with running_federation(tmp_path / "f", None) as federation:
        experiment = federation.write_experiment(purpose=PURPOSE, rounds=2, config=f"size = {SIZE}")
        plan = federation.home(RESEARCHER) / "plan.py"
        source = plan.read_text().replace('"weight"', '"canary_weight"')
        source = source.replace("numerator=mean * len(cases)", f"numerator={METRIC}")
        plan.write_text(COMMENT + source.replace('"mean"', '"canary_metric"'))
        identifier = federation.submit(experiment)
        federation.approve(LYON, PARIS)
        federation.digests(identifier)
        report = federation.report(identifier)
        folder = federation.home(CENTRE) / "hub" / "broker"
        # While it runs, and after it has written all that it keeps.
        living = read_all(folder)
        PrivateBroker(folder).stop()
        kept = living + read_all(folder)
        models = sorted(federation.home(CENTRE).glob("orchestrator/experiments/*/*.safetensors"))
        slices = [piece for model in models for piece in slices_of(model.read_bytes())]
        metric = report["records"][0]["metrics"]["canary_metric"]
        assert 2 * METRIC in metric.values(), metric
    assert len(models) == 3
    assert len(slices) >= 30
    canaries = [PURPOSE, COMMENT.strip(), f'"{DATASET}"', str(SIZE), "canary", "\x06" + DATASET]
    numbers = [
        struct.pack(order, number) for order in ["<d", ">d"] for number in (METRIC, 2 * METRIC)
    ]
    for canary in (*(text.encode() for text in canaries), *numbers, *slices):
        assert canary not in kept, canary
    for shown in (identifier, LYON, "prepare.request", "train.reply", "payload.chunk"):
        assert shown.encode() in kept, shown


def read_all(folder: Path) -> bytes:
    """Return the bytes of every file of a broker, but for those with which it was set up."""
    return b"\n".join(
        path.read_bytes()
        for name in ("data", "log")
        for path in (folder / name).rglob("*")
        if path.is_file()
    )


def slices_of(model: bytes) -> list[bytes]:
    """Return pieces of a model that could be nothing else."""
    pieces = [model[at : at + _SLICE] for at in range(0, len(model), len(model) // 40)]
    return [piece for piece in pieces if len(set(piece)) > 12]
