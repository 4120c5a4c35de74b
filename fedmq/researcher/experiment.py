"""An experiment as a researcher writes it: in Python, or in experiment.toml.

[experiment]
name = "lung-pfs"
plan = "petct-survival"        # of the catalogue, or the path of a Python file of one's own
dataset = "lung-petct"
dictionary = "dictionary.toml" # what the sites mean by their clinical tables; may be left out
rounds = 8
quorum = 3

[study]                        # what an ethics committee agreed to
protocol = "FEDPET-01"
ethics = "CPP 2026-117"
end = 2027-12-31

[config]                       # what the plan lets one set
epochs = 2
"""

import html
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from datetime import date
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from fedmq.encodings.kinds import KINDS, MODEL_KINDS
from fedmq.errors import ConfigurationError, FedmqError, PlanError
from fedmq.imaging.dictionary.reading import read_dictionary
from fedmq.learning.catalogue import load_plan, load_source, plan_digest, plan_source
from fedmq.learning.column_units import require_units
from fedmq.learning.configs import make_config
from fedmq.learning.plan import TrainingPlan
from fedmq.messages.fields import MAX_SOURCE_BYTES, DictionaryReference, PlanReference
from fedmq.messages.mandates import MAX_SPEC_BYTES, ExperimentSpec
from fedmq.parameters import Parameters
from fedmq.researcher.experiment_file import read_tables
from fedmq.types import Digest, parse_id

_UNREAD: Final = PlanReference(name="unread", digest=Digest("0" * 64), is_shipped=False)
"""Stands for the plan while everything else is checked: reading a plan may import torch."""

_EXPECTED: Final = {
    "bool_type": "true or false",
    "enum": "one of {expected}",
    "float_type": "a number",
    "greater_than": "more than {gt:.10g}",
    "greater_than_equal": "at least {ge:.10g}",
    "int_type": "a whole number",
    "less_than": "less than {lt:.10g}",
    "less_than_equal": "at most {le:.10g}",
    "list_type": "a list of names",
    "string_pattern_mismatch": "1 to 40 of a-z, 0-9 and -",
    "extra_forbidden": "protocol, ethics and end",
    "missing": "protocol, ethics and end",
    "model_type": "protocol, ethics and end",
    "string_too_short": "at least {min_length} character",
    "string_too_long": "at most {max_length} characters",
    "string_type": "text",
}
"""What pydantic's types of faults ask for, in words of people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """What is to be learnt, from which data, by whom, how often.

    It is checked when it is made, but for its plan, which is read by `to_spec`.

    Raises:
        ConfigurationError: a value has another type or lies out of its range; it is named.
    """

    name: str
    plan: str
    """A plan of the catalogue, or the path of a Python file (.py) with one's own."""
    dataset: str
    """The name under which nodes registered their data."""
    dictionary: str = ""
    """The path of a data dictionary (.toml); nodes that read their data by another one wait until
    they do by this one. Empty: as each site has them."""
    rounds: int
    quorum: int
    """Least number of nodes whose updates make a round."""
    nodes: Sequence[str] = ()
    """The nodes to ask; empty: all of the federation."""
    config: Mapping[str, object] = field(default_factory=dict)
    purpose: str = ""
    """For the operators who decide on the plan."""
    seed: int = 0
    round_deadline_s: float = 86_400.0
    waiting_deadline_s: float = 7 * 86_400.0
    max_attempts: int = 3
    """So often nodes are asked that are missing from a round which has no quorum."""
    late_updates: str = "drop"
    """`keep`: what comes after its round is kept beside the models; no model is made of it."""
    update_encoding: str = "exact"
    """How updates travel: `exact`, `bf16`, `fp16`, `int8` or `top-k`; only the first loses nothing.
    """
    top_k_share: float = 0.01
    """Of the numbers of an update, how many `top-k` sends."""
    model_encoding: str = "exact"
    """How models travel to nodes: `exact`, `bf16` or `fp16`."""
    evaluate: bool = True
    validation_share: float = 0.2
    num_threads: int = 8
    """That each node computes with, at most; one whose operator lets tasks have fewer takes those.
    With 1 nodes on equal machines compute the same bits."""
    study: Mapping[str, object] | None = None
    """`protocol`, `ethics` (reference of the vote) and `end` (a date). Nodes may require it."""

    def __post_init__(self) -> None:
        self._check(_UNREAD)

    def __str__(self) -> str:
        nodes = ", ".join(self.nodes) or "all nodes"
        return (
            f"{self.name}: {self.rounds} rounds of {self.plan} on {self.dataset}"
            f" at {nodes}, quorum {self.quorum}"
        )

    @classmethod
    def from_toml(cls, path: Path | str) -> "Experiment":
        """Return the experiment in a file; the path of a plan is relative to the file.

        Raises:
            ConfigurationError: the file is missing or no TOML, has an unknown or a wrong value, or
                lacks a needed one; the error names the key, what was expected and what came.
        """
        path = Path(path)
        own = [one for one in fields(cls) if one.name not in {"config", "study"}]
        tables = read_tables(
            path,
            known=[one.name for one in own],
            needed=[
                one.name for one in own if one.default is MISSING and one.default_factory is MISSING
            ],
        )
        settings = tables.experiment
        plan = settings["plan"]
        if _is_file(plan):
            settings["plan"] = str(path.parent / plan)
        if isinstance(settings.get("dictionary"), str) and settings["dictionary"]:
            settings["dictionary"] = str(path.parent / settings["dictionary"])
        return cls(**settings, config=tables.config, study=tables.study)

    def to_spec(self) -> tuple[ExperimentSpec, str | None, type[TrainingPlan]]:
        """Return what the orchestrator is sent, the plan's source if it is shipped, its class.

        Raises:
            ConfigurationError: the plan has no such setting in its config, or not of this type.
            PlanError: the plan cannot be used.
        """
        content = self._read_plan()
        is_shipped = _is_file(self.plan)
        plan_class = load_source(content) if is_shipped else load_plan(self.plan)
        config = make_config(plan_class, self.config)
        if self.dictionary:
            require_units(plan_class, config, read_dictionary(Path(self.dictionary)))
        try:
            reference = PlanReference(
                name=plan_class.name, digest=plan_digest(content), is_shipped=is_shipped
            )
            source = content.decode() if is_shipped else None
        except (ValidationError, UnicodeDecodeError) as error:
            raise PlanError(
                f"the plan {self.plan} cannot be sent",
                why="expected: UTF-8, and a name of 1 to 40 of a-z, 0-9 and -; "
                f"got the name: {plan_class.name}",
                fix="mend the file",
            ) from error
        return self._check(reference), source, plan_class

    def initial_parameters(self, plan_class: type[TrainingPlan]) -> Parameters:
        """Return the parameters of round 0: those that the plan makes of the seed.

        Raises:
            PlanError: the plan raises something instead.
        """
        try:
            return plan_class(make_config(plan_class, self.config)).initial_parameters(self.seed)
        except FedmqError:
            raise
        except Exception as error:
            raise PlanError(
                f"the plan {self.plan} makes no parameters to begin with",
                why=f"its initial_parameters raised {type(error).__name__}: {error}",
                fix="mend the plan",
            ) from error

    def _read_plan(self) -> bytes:
        if not _is_file(self.plan):
            return plan_source(self.plan)
        try:
            content = Path(self.plan).read_bytes()
        except OSError as error:
            raise PlanError(
                f"the plan {self.plan} cannot be read",
                why=error.strerror or str(error),
                fix="mend the path; in experiment.toml it is relative to that file",
            ) from error
        if len(content) > MAX_SOURCE_BYTES:
            raise PlanError(
                f"the plan {self.plan} is too long",
                why=f"expected: at most {MAX_SOURCE_BYTES} bytes; got: {len(content)}",
                fix="leave data and trained numbers out of it",
            )
        return content

    def _check(self, plan: PlanReference) -> ExperimentSpec:
        if not isinstance(self.plan, str):
            raise _wrong("plan", "the name of a plan, or the path of one", self.plan)
        values: dict[str, Any] = {
            "name": self.name,
            "purpose": self.purpose,
            "plan": plan,
            "dataset": self.dataset,
            "dictionary": self._read_dictionary(),
            "config": _as_lists(self.config),
            "num_rounds": self.rounds,
            "nodes": list(self.nodes) if isinstance(self.nodes, (list, tuple)) else self.nodes,
            "quorum": self.quorum,
            "round_deadline_s": self.round_deadline_s,
            "waiting_deadline_s": self.waiting_deadline_s,
            "max_attempts": self.max_attempts,
            "late_updates": self.late_updates,
            "update_encoding": self.update_encoding,
            "top_k_share": self.top_k_share,
            "model_encoding": self.model_encoding,
            "evaluate": self.evaluate,
            "seed": self.seed,
            "validation_share": self.validation_share,
            "num_threads": self.num_threads,
            "study": _as_text(self.study),
        }
        try:
            spec = ExperimentSpec.model_validate(values)
        except ValidationError as error:
            raise _fault(error) from error
        if spec.encoding is None:
            raise _wrong("update_encoding", f"one of {', '.join(KINDS)}", spec.update_encoding)
        if spec.model_kind is None:
            raise _wrong("model_encoding", f"one of {', '.join(MODEL_KINDS)}", spec.model_encoding)
        parse_id(spec.name, kind="experiment")
        for node in spec.nodes:
            parse_id(node, kind="node")
        if spec.nodes and spec.quorum > len(set(spec.nodes)):
            raise _wrong("quorum", f"at most the {len(set(spec.nodes))} nodes named", spec.quorum)
        if (size := len(spec.model_dump_json().encode())) > MAX_SPEC_BYTES:
            raise _wrong("the experiment", f"at most {MAX_SPEC_BYTES} bytes as JSON", size)
        return spec

    def _read_dictionary(self) -> DictionaryReference | None:
        if not isinstance(self.dictionary, str):
            raise _wrong("dictionary", "the path of a TOML file", self.dictionary)
        if not self.dictionary:
            return None
        said = read_dictionary(Path(self.dictionary))
        return DictionaryReference(name=said.name, version=said.version, digest=said.digest)

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th>{html.escape(one.name)}</th>"
            f"<td>{html.escape(str(getattr(self, one.name)))}</td></tr>"
            for one in fields(self)
        )
        return f"<table>{rows}</table>"


def _is_file(plan: object) -> bool:
    return isinstance(plan, str) and plan.endswith(".py")


def _as_lists(config: object) -> object:
    """Return the config as a message carries it: tuples as lists."""
    if not isinstance(config, Mapping):
        return config
    return {
        name: list(value) if isinstance(value, tuple) else value for name, value in config.items()
    }


def _as_text(study: object) -> object:
    """Return the study as a message carries it: its end as text."""
    if not isinstance(study, Mapping):
        return study
    return {
        name: value.isoformat() if type(value) is date else value for name, value in study.items()
    }


def _fault(error: ValidationError) -> ConfigurationError:
    """Return what a person may do about the first thing that the message's rules refuse."""
    fault = error.errors(include_url=False)[0]
    place = fault["loc"]
    if place[0] == "config" and len(place) > 1:
        return _wrong(
            f"config.{place[1]}",
            "true, false, a finite number, a short text, or a list of these",
            fault["input"],
        )
    names = ["rounds" if step == "num_rounds" else str(step) for step in place]
    template = _EXPECTED.get(fault["type"])
    if names == ["study", "end"] and fault["type"].startswith("string"):
        template = "a date such as 2027-12-31"
    expected = fault["msg"] if template is None else template.format(**fault.get("ctx", {}))
    return _wrong(".".join(names), expected, fault["input"])


def _wrong(key: str, expected: str, got: object) -> ConfigurationError:
    return ConfigurationError(
        f"{key} cannot be used",
        why=f"expected: {expected}; got: {got!r}",
        fix="mend it in the experiment",
    )
