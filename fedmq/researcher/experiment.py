"""An experiment as a researcher writes it: in Python, or in experiment.toml.

[experiment]
name = "lung-pfs"
plan = "petct-survival"        # of the catalogue, or the path of a Python file of one's own
dataset = "lung-petct"
rounds = 8
quorum = 3

[config]                       # what the plan lets one set
epochs = 2
"""

import html
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fedmq.errors import ConfigurationError, PlanError
from fedmq.learning.catalogue import (
    CATALOGUE,
    load_plan,
    load_source,
    plan_digest,
    plan_source,
)
from fedmq.learning.configs import make_config
from fedmq.learning.plan import TrainingPlan
from fedmq.messages.fields import MAX_SOURCE_BYTES, PlanReference
from fedmq.messages.submissions import ExperimentSpec
from fedmq.types import parse_id

# In experiment.toml and in Python -> in the message.
_SPEC_NAMES = {"rounds": "num_rounds"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """What is to be learnt, from which data, by whom, how often."""

    name: str
    plan: str
    """A plan of the catalogue, or the path of a Python file with one's own."""
    dataset: str
    """The name under which nodes registered their data."""
    rounds: int
    quorum: int
    """Least number of nodes whose updates make a round."""
    nodes: tuple[str, ...] = ()
    """The nodes to ask; empty: all of the federation."""
    config: Mapping[str, object] = field(default_factory=dict)
    purpose: str = ""
    """For the operators who decide on the plan."""
    seed: int = 0
    round_deadline_s: float = 86_400.0
    waiting_deadline_s: float = 7 * 86_400.0
    evaluate: bool = True
    validation_share: float = 0.2
    num_threads: int = 1

    @classmethod
    def from_toml(cls, path: Path | str) -> "Experiment":
        """Return the experiment in a file; the path of a plan is relative to the file.

        Raises:
            ConfigurationError: the file is missing, no TOML, or has unknown or missing keys.
        """
        path = Path(path)
        tables = _read_toml(path)
        settings: dict[str, Any] = dict(tables.get("experiment", {}))
        known = {one.name for one in fields(cls)} - {"config"}
        _refuse_unknown(path, "[experiment]", settings, known)
        _refuse_unknown(path, "the file", tables, {"experiment", "config"})
        missing = [
            name for name in ("name", "plan", "dataset", "rounds", "quorum") if name not in settings
        ]
        if missing:
            raise ConfigurationError(
                f"{path.name} lacks {', '.join(missing)}",
                why="an experiment needs a name, plan, dataset, rounds and quorum",
                fix="add it under [experiment]",
            )
        if isinstance(settings["plan"], str) and settings["plan"].endswith(".py"):
            settings["plan"] = str(path.parent / settings["plan"])
        if isinstance(settings.get("nodes"), list):
            settings["nodes"] = tuple(settings["nodes"])
        return cls(**settings, config=tables.get("config", {}))

    def load_plan(self) -> tuple[type[TrainingPlan], str | None]:
        """Return the plan's class, and its source if it is shipped.

        Raises:
            PlanError: there is no such plan, or it does not keep the protocol of plans.
        """
        if not self.plan.endswith(".py"):
            if self.plan not in CATALOGUE:
                raise PlanError(
                    f"there is no plan {self.plan}",
                    why=f"the catalogue has {', '.join(sorted(CATALOGUE))}",
                    fix="name one of these, or the path of a Python file",
                )
            return load_plan(self.plan), None
        try:
            source = Path(self.plan).read_bytes()
        except OSError as error:
            raise PlanError(
                f"the plan {self.plan} cannot be read",
                why=error.strerror or str(error),
                fix="mend the path; in experiment.toml it is relative to that file",
            ) from error
        if len(source) > MAX_SOURCE_BYTES:
            raise PlanError(f"the plan has {len(source)} bytes, the limit is {MAX_SOURCE_BYTES}")
        return load_source(source), source.decode()

    def to_spec(self) -> ExperimentSpec:
        """Return what the orchestrator is sent.

        Raises:
            ConfigurationError: a value has another type or lies out of its range; it is named.
            PlanError: the plan cannot be used.
        """
        parse_id(self.name, kind="experiment")
        plan_class, source = self.load_plan()
        make_config(plan_class, self.config)
        content = plan_source(self.plan) if source is None else source.encode()
        plan = PlanReference(
            name=plan_class.name, digest=plan_digest(content), is_shipped=source is not None
        )
        values: dict[str, Any] = {
            _SPEC_NAMES.get(one.name, one.name): getattr(self, one.name)
            for one in fields(self)
            if one.name not in {"plan", "config", "nodes"}
        }
        for name in ("round_deadline_s", "waiting_deadline_s", "validation_share"):
            if type(values[name]) is int:
                values[name] = float(values[name])
        values |= {"plan": plan, "nodes": list(self.nodes), "config": _plain(self.config)}
        try:
            return ExperimentSpec.model_validate(values)
        except ValidationError as error:
            fault = error.errors(include_url=False)[0]
            names = {new: old for old, new in _SPEC_NAMES.items()}
            place = ".".join(names.get(str(step), str(step)) for step in fault["loc"])
            raise ConfigurationError(
                f"{place} = {fault['input']!r} cannot be used",
                why=fault["msg"],
                fix="mend it in the experiment",
            ) from error

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th>{html.escape(one.name)}</th>"
            f"<td>{html.escape(str(getattr(self, one.name)))}</td></tr>"
            for one in fields(self)
        )
        return f"<table>{rows}</table>"


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            tables = tomllib.load(file)
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be read",
            why=error.strerror or str(error),
            fix="name the file of an experiment, such as examples/lung-pfs.toml",
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path.name} is no TOML", why=str(error)) from error
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise ConfigurationError(
                f"{path.name}: {name} stands outside a table",
                why="settings belong under [experiment] or [config]",
                fix="move it",
            )
    return tables


def _refuse_unknown(path: Path, place: str, found: Mapping[str, object], known: set[str]) -> None:
    for name in found:
        if name not in known:
            raise ConfigurationError(
                f"{path.name}: {place} has no {name!r}",
                why=f"it may have {', '.join(sorted(known))}",
                fix="mend the name, or leave it out",
            )


def _plain(config: Mapping[str, object]) -> dict[str, object]:
    """Return the config as a message carries it: tuples as lists."""
    return {
        name: list(value) if isinstance(value, tuple) else value for name, value in config.items()
    }
