"""What a federation of `Federation` computes, without one: each round's model, by who took part."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from fedmq.disk import LocalDisk
from fedmq.learning.catalogue import load_source, plan_digest
from fedmq.learning.configs import make_config
from fedmq.learning.trainer_jobs import perform
from fedmq.learning.trainer_protocol import Done, Job, JobKind
from fedmq.messages.fields import ConfigValue
from fedmq.parameters import Array, Parameters, load_parameters, save_parameters
from fedmq.transport.spool import Spool
from tests.support.federation import PLAN, PLAN_FILE, Federation

SEED = 5
"""That of `Federation.write_experiment`."""


def model_digests(
    federation: Federation, participants: Iterable[Sequence[str]], **config: ConfigValue
) -> list[str]:
    """Return the digest of each round's model; `participants` are those of each round."""
    folder = federation.folder / "reference"
    folder.mkdir(exist_ok=True)
    source = PLAN_FILE.read_bytes()
    plan_class = load_source(source)
    model: Parameters = plan_class(make_config(plan_class, config)).initial_parameters(SEED)
    digests = []
    for number, nodes in enumerate(participants, start=1):
        trained = [
            _train(federation, folder, model, node, number, config) for node in sorted(nodes)
        ]
        total = sum(cases for _, cases in trained)
        model = {
            name: _average(array, [(local[name], cases) for local, cases in trained], total)
            for name, array in model.items()
        }
        save_parameters(model, folder / "model")
        digests.append(Spool(LocalDisk(folder)).adopt("model").digest)
    return digests


def _average(model: Array, locals_: list[tuple[Array, int]], total: int) -> Array:
    """Return the model plus the mean of the updates, weighted by cases, in the order of names."""
    summed = np.zeros(model.shape, np.float64)
    for local, cases in locals_:
        summed += np.asarray(local - model, model.dtype).astype(np.float64) * cases
    mean = model.astype(np.float64) + summed / total
    rounded = mean if np.issubdtype(model.dtype, np.floating) else np.rint(mean)
    return rounded.astype(model.dtype)


def _train(
    federation: Federation,
    folder: Path,
    model: Parameters,
    node: str,
    number: int,
    config: dict[str, ConfigValue],
) -> tuple[Parameters, int]:
    save_parameters(model, folder / "before")
    after = folder / f"after.{node}.{number}"  # arrays are maps of their files: one for each
    job = Job(
        job_id="reference",
        kind=JobKind.TRAIN,
        plan_name=PLAN,
        plan_digest=plan_digest(PLAN_FILE.read_bytes()),
        source_path=str(PLAN_FILE),
        config=config,
        dataset_folder=str(federation.home(node) / "cases"),
        clinical=None,
        spoiled=(),
        withdrawn=(),
        parameters_path=str(folder / "before"),
        output_path=str(after),
        seed=SEED,
        round=number,
        split_seed=SEED,
        validation_share=0.2,
        num_threads=1,
    )
    done = perform(job, lambda _share, _text: None)
    assert isinstance(done, Done), done
    return load_parameters(after), done.num_cases
