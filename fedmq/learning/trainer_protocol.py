"""What a node and its trainer say to each other: a job in, answers out, one JSON line each.

Lines stay on the site; nothing in them is sent as it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, ClassVar, Final, TypeVar

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from fedmq import __version__
from fedmq.errors import TrainingError
from fedmq.imaging.intake import Intake
from fedmq.imaging.layouts.data_map import DataMap
from fedmq.messages.fields import (
    MAX_METRICS,
    ConfigValue,
    Count,
    LongText,
    MetricName,
    Number,
    ShortText,
)
from fedmq.messages.replies import FailureCode

MAX_LINE_BYTES: Final = 8 * 2**20
"""With its line feed; a longer line is no line of this protocol. Names of cases take the most."""
MAX_TEXT: Final = 200
"""Characters of a progress text."""
MAX_WHAT: Final = 2_000
MAX_UNREADABLE: Final = 5

T = TypeVar("T")

_STRICT: Final = ConfigDict(strict=True, extra="forbid")


class JobKind(StrEnum):
    """What a trainer can be asked."""

    PREPARE = "prepare"
    """Load the plan and count the cases."""
    TRAIN = "train"
    EVALUATE = "evaluate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """All that one piece of work needs; paths are of this machine."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    job_id: ShortText
    kind: JobKind
    plan_name: str
    plan_digest: str
    source_path: str | None
    """The file of a plan shipped with the experiment; None for a plan of the catalogue."""
    config: Mapping[str, ConfigValue]
    dataset_folder: str
    clinical: str | None
    """The clinical table, where it does not stand in the dataset's folder."""
    data_map: DataMap = field(default_factory=DataMap)
    """How folder and table are read, as it was found when the dataset was added."""
    meaning: str | None = None
    """By what the table is read (`fedmq.imaging.dictionary.model.Meaning`, JSON); None: as it is.
    """
    intake: Intake | None = None
    """The volumes with which the experiment began (`fedmq.imaging.intake`); None: those of now."""
    spoiled: tuple[tuple[str, str], ...]
    """Case and modality of each volume that was found unfit; such a case lacks it."""
    withdrawn: tuple[tuple[str, tuple[str, ...]], ...]
    """Each case that is not to be used, with the modalities that it had: its place in the split
    stays empty."""
    parameters_path: str | None
    """The parameters to begin with; None where there is nothing to train or evaluate."""
    output_path: str | None
    """Where training puts its parameters, in a folder that is there; None without training."""
    seed: int
    round: int
    split_seed: int
    validation_share: float
    num_threads: int
    """To compute with, exactly: another number adds in another order."""
    features: str | None = None
    """The feature table of the dataset; in a cell, its rows of the files as they are now."""
    is_narrow: bool = False
    """Whether the parameters came in fewer bytes (`fedmq.encodings.narrow`)."""
    kept_cases: str | None = None
    """A folder of the trainer's own in which prepared cases stay; None where there is none."""
    kept_bytes: int = 0
    """What may lie in it."""
    version: ShortText = __version__
    """Of fedmq, as the node has it in memory; the trainer has what is installed when it starts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A job came so far."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    job_id: ShortText
    share: Annotated[float, Field(ge=0, le=1)]
    text: ShortText


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A job is done; the output of training stands at its path, of the input's shapes, finite."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    job_id: ShortText
    num_cases: Count
    """How many cases spoke."""
    metrics: Annotated[
        Mapping[MetricName, tuple[Number, Annotated[Number, Field(ge=0)]]],
        Field(max_length=MAX_METRICS),
    ]
    """Name -> numerator, denominator."""
    num_training_cases: Count
    num_validation_cases: Count
    num_cases_left_out: Count
    """Cases that lack a modality of the plan, or have it unfit; in neither of the two counts."""
    cases: tuple[str, ...] = ()
    """The names of the cases that the plan was given: those that train, or those that validate.
    From the worker: of all that it could read."""
    unreadable: Annotated[tuple[LongText, ...], Field(max_length=MAX_UNREADABLE)] = ()
    """Volumes that broke since the last check, in words, for the site's own eyes: the job was done
    as if their cases lacked them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """A job broke; `what` is for the site's own eyes.

    Nodes of other versions read this one: its fields stay as they are.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    job_id: ShortText
    code: FailureCode
    what: LongText


Answer = Progress | Done | Broken


@dataclass(frozen=True, slots=True, kw_only=True)
class _Origin:
    """What jobs of all versions say; their other fields are not looked at."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(strict=True, extra="ignore")

    job_id: ShortText
    version: ShortText


_ORIGIN: Final = TypeAdapter(_Origin)
_JOB: Final = TypeAdapter(Job)
# The three share no set of fields and allow no others: the fields tell which it is.
_ANSWER: Final[TypeAdapter[Answer]] = TypeAdapter(Answer)


def job_line(job: Job) -> bytes:
    """Return `job` as a line.

    Raises:
        TrainingError: it cannot be written as one: a text that is not Unicode, a line too long.
    """
    return _line(_JOB, job)


def answer_line(answer: Answer) -> bytes:
    """Return `answer` as a line.

    Raises:
        TrainingError: it cannot be written as one: a text that is not Unicode, a line too long.
    """
    return _line(_ANSWER, answer)


def parse_job(line: bytes) -> Job | None:
    """Return the job that `line` says, None where it says none."""
    return _parsed(_JOB, line)


def version_fault(line: bytes) -> Broken | None:
    """Return the answer to a job from a node of another version of fedmq, None for any other line.

    It has the code of a dead worker: the task may be asked for again, and then succeed.
    """
    origin = _parsed(_ORIGIN, line)
    if origin is None or origin.version == __version__:
        return None
    versions = f"the node runs fedmq {origin.version}, its trainer {__version__}"
    return Broken(
        job_id=origin.job_id,
        code=FailureCode.WORKER_DIED,
        what=f"{versions}: start the node again",
    )


def parse_answer(line: bytes) -> Answer | None:
    """Return the answer that `line` says, None where it says none."""
    return _parsed(_ANSWER, line)


def fitting_text(text: str, size: int = MAX_TEXT) -> str:
    """Return `text` as an answer can carry it: Unicode, and not too long."""
    return text[:size].encode(errors="replace").decode()


def _line(adapter: TypeAdapter[T], value: T) -> bytes:
    try:
        line = adapter.dump_json(value) + b"\n"
    except ValueError as error:
        raise TrainingError(
            "a line to or from the trainer cannot be written",
            why="a name or path in it is not Unicode",
            fix="rename the dataset's folder",
        ) from error
    if len(line) > MAX_LINE_BYTES:
        raise TrainingError(
            "a line to or from the trainer is too long",
            why=f"it has {len(line)} bytes, the limit is {MAX_LINE_BYTES}",
            fix="make the plan's config smaller",
        )
    return line


def _parsed(adapter: TypeAdapter[T], line: bytes) -> T | None:
    if len(line) > MAX_LINE_BYTES or not line.endswith(b"\n"):
        return None
    try:
        return adapter.validate_json(line)
    except ValidationError:
        return None
