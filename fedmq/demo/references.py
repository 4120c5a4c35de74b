"""What the demonstration's model is held against: the same plan, trained without a federation.

Each reference takes as many gradient steps as a node takes over all rounds on average, and is
judged on the validation cases of all sites, as the federation's model is.
"""

import io
import math
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass
from pathlib import Path

from fedmq.imaging.cases import Case
from fedmq.imaging.datasets import find_cases, split_cases
from fedmq.learning.catalogue import load_plan
from fedmq.learning.configs import make_config
from fedmq.learning.plan import Ratio, Task
from fedmq.messages.mandates import ExperimentSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """One training without a federation."""

    name: str
    num_cases: int
    num_steps: int
    c_index: Ratio


def train_references(spec: ExperimentSpec, folders: Mapping[str, Path]) -> tuple[Reference, ...]:
    """Return the reference of all cases pooled first, then that of each site.

    Args:
        spec: the federation's experiment, of a plan of the catalogue with epochs and batches.
        folders: site -> folder of its cases.
    """
    splits = {
        site: split_cases(
            find_cases(folder), seed=spec.seed, validation_share=spec.validation_share
        )
        for site, folder in sorted(folders.items())
    }
    validation = [case for _, held_out in splits.values() for case in held_out]
    batch = int(_number(spec, "batch_size"))
    epochs = int(_number(spec, "epochs"))
    steps_of_node = [math.ceil(len(training) / batch) for training, _ in splits.values()]
    num_steps = round(spec.num_rounds * epochs * sum(steps_of_node) / len(steps_of_node))
    pooled = [case for training, _ in splits.values() for case in training]
    groups = {"pooled": pooled, **{site: list(training) for site, (training, _) in splits.items()}}
    return tuple(_train(name, spec, cases, validation, num_steps) for name, cases in groups.items())


def _train(
    name: str,
    spec: ExperimentSpec,
    cases: Sequence[Case],
    validation: Sequence[Case],
    num_steps: int,
) -> Reference:
    plan_class = load_plan(spec.plan.name)
    per_epoch = math.ceil(len(cases) / int(_number(spec, "batch_size")))
    epochs = max(1, round(num_steps / per_epoch))
    plan = plan_class(make_config(plan_class, {**spec.config, "epochs": epochs}))
    task = Task(seed=spec.seed, round=1, report=lambda _share, _text: None)
    with redirect_stderr(io.StringIO()):  # what a node keeps in its trainer's log
        fit = plan.train(plan.initial_parameters(spec.seed), cases, task)
    assessment = plan.evaluate(fit.parameters, validation, task)
    return Reference(
        name=name,
        num_cases=len(cases),
        num_steps=epochs * per_epoch,
        c_index=assessment.metrics["c_index"],
    )


def _number(spec: ExperimentSpec, name: str) -> float:
    """Return a setting of the experiment, or the plan's default."""
    plan_class = load_plan(spec.plan.name)
    return float(getattr(make_config(plan_class, spec.config), name))
