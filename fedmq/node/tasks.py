"""Tasks: the work that a node has accepted and not yet answered, and the course of experiments.

A task's row is written in the transaction that receives its request, and goes in the one that posts
its answer. A node that is killed finds on its next start what was waiting and what it had begun,
and does that again; training whose output is on the disk is only answered.
"""

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from fedmq.messages.codec import Message, decode, encode
from fedmq.messages.envelope import Envelope
from fedmq.messages.replies import EvaluateReply, RefusalCode
from fedmq.messages.requests import EvaluateRequest, PrepareRequest, TrainRequest
from fedmq.node.policy import Course, Leg, Objection, Position, position_of
from fedmq.node.terms import Request
from fedmq.transport.journal import Cell, Journal

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS tasks (
    task_id TEXT NOT NULL UNIQUE,
    sender TEXT NOT NULL,
    experiment TEXT NOT NULL,
    round INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    leg INTEGER NOT NULL,
    state TEXT NOT NULL,
    gain TEXT,
    encoded BLOB NOT NULL,
    PRIMARY KEY (sender, experiment, round, attempt, leg)
);
CREATE TABLE IF NOT EXISTS holds (
    task_id TEXT PRIMARY KEY REFERENCES tasks (task_id) ON DELETE CASCADE,
    code TEXT NOT NULL,
    retry_at REAL,
    num_answers INTEGER NOT NULL,
    is_over INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS courses (
    experiment TEXT PRIMARY KEY,
    round INTEGER NOT NULL DEFAULT -1,
    attempt INTEGER NOT NULL DEFAULT -1,
    leg INTEGER NOT NULL DEFAULT 0,
    least_attempt INTEGER NOT NULL DEFAULT 0,
    is_over INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
"""
_MAX_REQUEST_ID: Final = 120
"""Longer ones are hashed, so that no id which is made of a task's is too long."""
_COLUMNS: Final = (
    "encoded, state, gain, (SELECT num_answers FROM holds WHERE holds.task_id = tasks.task_id)"
)
_IS_HELD: Final = "task_id IN (SELECT task_id FROM holds WHERE NOT is_over)"


class State(StrEnum):
    """How far a task has come."""

    WAITING = "waiting"
    STARTED = "started"
    DONE = "done"
    """Trained: the output is on the disk, what else it gave in the row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One request that is waiting or in hand; it stays until its answer is in the outbox."""

    envelope: Envelope
    request: Request
    state: State
    num_answers: int
    """So often the request was answered that it has to wait."""
    gain: EvaluateReply | None
    """What training gave beside its parameters, once it is done."""

    @property
    def task_id(self) -> str:
        """What tells it from all others."""
        return task_id_of(self.envelope)

    @property
    def name(self) -> str:
        """What its files are called after."""
        envelope = self.envelope
        return f"{envelope.experiment}.{envelope.round}.{envelope.attempt}"


class Tasks:
    """The work of one node."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def __len__(self) -> int:
        return int(self._journal.own_rows("SELECT count(*) FROM tasks")[0][0] or 0)

    def add(self, message: Message, request: Request) -> None:
        """Accept work; a second request for the same leg changes nothing."""
        envelope, position = message.envelope, position_of(message.envelope, request)
        self._journal.execute(
            "INSERT OR IGNORE INTO tasks VALUES (?, ?, ?, ?, ?, ?, ?, NULL, ?)",
            (
                task_id_of(envelope),
                envelope.sender,
                envelope.experiment,
                position.round,
                position.attempt,
                position.leg,
                State.WAITING,
                encode(message),
            ),
        )

    def next(self) -> Task | None:
        """Return the task to begin: what was begun, questions before work, then the oldest.

        None of those that are held.
        """
        tasks = self._tasks(
            f"WHERE state != ? AND NOT {_IS_HELD} ORDER BY state != ?, leg != ?, rowid LIMIT 1",
            (State.DONE, State.STARTED, Leg.PREPARE),
        )
        return tasks[0] if tasks else None

    def all(self) -> tuple[Task, ...]:
        """Return all tasks that are not answered, the oldest first."""
        return self._tasks("ORDER BY rowid", ())

    def done(self) -> tuple[Task, ...]:
        """Return the tasks that are trained and not answered."""
        return self._tasks("WHERE state = ? ORDER BY rowid", (State.DONE,))

    def has(self, task_id: str) -> bool:
        """Return whether a task is neither answered nor dropped."""
        return bool(self._journal.own_rows("SELECT 1 FROM tasks WHERE task_id = ?", (task_id,)))

    def start(self, task_id: str) -> None:
        """Note that a task is in hand."""
        self._set_state(task_id, State.STARTED, None)

    def keep_gain(self, task_id: str, gain: EvaluateReply) -> None:
        """Note that training is done, and its output on the disk: it is never done again."""
        self._set_state(task_id, State.DONE, gain.model_dump_json())

    def wait_again(self, task_id: str) -> None:
        """Note that a task has to be done from its beginning."""
        self._set_state(task_id, State.WAITING, None)

    def remove(self, task_id: str) -> None:
        """Forget a task: it is answered, or nobody waits for it."""
        self._journal.execute("DELETE FROM tasks WHERE task_id = ?", (task_id,))

    # Tasks that have to wait: for the operator, or for an hour.

    def hold(self, task_id: str, objection: Objection) -> None:
        """Do not begin a task while there is an objection; count it as answered once more."""
        self._journal.execute(
            "INSERT INTO holds SELECT task_id, ?, ?, 1, 0 FROM tasks WHERE task_id = ?"
            " ON CONFLICT DO UPDATE SET code = excluded.code, retry_at = excluded.retry_at,"
            " num_answers = num_answers + 1, is_over = 0",
            (objection.code, objection.retry_at, task_id),
        )

    def free(self, task_id: str) -> None:
        """There is no objection to a task any more."""
        self._journal.execute("UPDATE holds SET is_over = 1 WHERE task_id = ?", (task_id,))

    def held(self) -> list[tuple[Task, Objection]]:
        """Return the tasks that wait, and what the objection was when it was told."""
        return [
            (task, self._objection(task.task_id))
            for task in self._tasks(f"WHERE {_IS_HELD} ORDER BY rowid", ())
        ]

    def num_held(self, code: RefusalCode, sender: str) -> int:
        """Return how many tasks of one sender wait for one reason."""
        rows = self._journal.own_rows(
            "SELECT count(*) FROM holds JOIN tasks USING (task_id)"
            " WHERE code = ? AND sender = ? AND NOT is_over",
            (code, sender),
        )
        return int(rows[0][0] or 0)

    def arrived_at(self, task: Task, *, default: float) -> float:
        """Return when a task's request was received, by this machine's clock."""
        rows = self._journal.own_rows(
            "SELECT at FROM received WHERE sender = ? AND message_id = ?",
            (task.envelope.sender, task.envelope.message_id),
        )
        return float(rows[0][0] or 0.0) if rows else default

    def _objection(self, task_id: str) -> Objection:
        code, retry_at = self._journal.own_rows(
            "SELECT code, retry_at FROM holds WHERE task_id = ?", (task_id,)
        )[0]
        return Objection(
            code=RefusalCode(str(code)), retry_at=None if retry_at is None else float(retry_at)
        )

    # The course of experiments.

    def course(self, experiment: str) -> Course:
        """Return what is known of the course of an experiment."""
        rows = self._journal.own_rows(
            "SELECT round, attempt, leg, least_attempt, is_over FROM courses WHERE experiment = ?",
            (experiment,),
        )
        if not rows:
            return Course()
        number, attempt, leg, least_attempt, is_over = (int(cell or 0) for cell in rows[0])
        return Course(
            newest=Position(number, attempt, Leg(leg)) if number >= 0 else None,
            least_attempt=least_attempt,
            is_over=bool(is_over),
        )

    def advance(self, experiment: str, position: Position) -> None:
        """Note that an experiment has come so far; its older work is dropped."""
        self._know(experiment)
        where = "experiment = ? AND (round, attempt, leg) < (?, ?, ?)"
        cells = (experiment, position.round, position.attempt, position.leg)
        self._journal.execute(
            f"DELETE FROM tasks WHERE {where} AND leg != ?",  # noqa: S608 - own names
            (*cells, Leg.PREPARE),
        )
        self._journal.execute(
            f"UPDATE courses SET round = ?, attempt = ?, leg = ? WHERE {where}",  # noqa: S608 - own
            (position.round, position.attempt, position.leg, *cells),
        )

    def cancel(self, experiment: str, before_attempt: int) -> None:
        """Drop the work of older attempts, what is here and what will come."""
        self._know(experiment)
        self._journal.execute(
            "DELETE FROM tasks WHERE experiment = ? AND attempt < ? AND leg != ?",
            (experiment, before_attempt, Leg.PREPARE),
        )
        self._journal.execute(
            "UPDATE courses SET least_attempt = max(least_attempt, ?) WHERE experiment = ?",
            (before_attempt, experiment),
        )

    def keep_only(self, sender: str, experiment: str) -> None:
        """Drop what others asked of an experiment that is known to be led by `sender`."""
        self._journal.execute(
            "DELETE FROM tasks WHERE experiment = ? AND sender != ?", (experiment, sender)
        )

    def end(self, experiment: str) -> None:
        """The experiment is over: nothing of it is run or answered again."""
        self._know(experiment)
        self._journal.execute("DELETE FROM tasks WHERE experiment = ?", (experiment,))
        self._journal.execute("UPDATE courses SET is_over = 1 WHERE experiment = ?", (experiment,))

    def is_running(self, experiment: str) -> bool:
        """Return whether an experiment was begun here and is not over."""
        rows = self._journal.own_rows(
            "SELECT 1 FROM courses WHERE experiment = ? AND is_over = 0", (experiment,)
        )
        return bool(rows)

    def over(self) -> tuple[str, ...]:
        """Return the experiments that are over."""
        rows = self._journal.own_rows("SELECT experiment FROM courses WHERE is_over = 1")
        return tuple(str(row[0]) for row in rows)

    def _know(self, experiment: str) -> None:
        self._journal.execute(
            "INSERT OR IGNORE INTO courses (experiment) VALUES (?)", (experiment,)
        )

    def _set_state(self, task_id: str, state: State, gain: str | None) -> None:
        self._journal.execute(
            "UPDATE tasks SET state = ?, gain = ? WHERE task_id = ?", (state, gain, task_id)
        )

    def _tasks(self, rest: str, cells: tuple[Cell, ...]) -> tuple[Task, ...]:
        rows = self._journal.own_rows(
            f"SELECT {_COLUMNS} FROM tasks {rest}",  # noqa: S608 - own names
            cells,
        )
        return tuple(_task(row) for row in rows)


def task_id_of(envelope: Envelope) -> str:
    """Return the id of the task that a request makes: no two senders' are the same.

    Senders choose the ids of their requests. No name has a colon in it.
    """
    request_id = envelope.message_id
    if len(request_id) > _MAX_REQUEST_ID:
        request_id = hashlib.sha256(request_id.encode()).hexdigest()
    return f"{envelope.sender}:{request_id}"


def product_bytes(request: Request) -> int:
    """Return how much room work takes: trained parameters, and the update made of them."""
    if not isinstance(request, TrainRequest):
        return 0
    return _model_bytes(request) + update_bytes(request)


def update_bytes(request: Request) -> int:
    """Return how much room an update takes at most, with what stays unsent of it."""
    if not isinstance(request, TrainRequest):
        return 0
    encoding = request.spec.encoding
    has_residual = encoding is not None and encoding.has_feedback
    return (2 if has_residual else 1) * _model_bytes(request)


def _model_bytes(request: TrainRequest) -> int:
    """Return how large a model is, which may have come in fewer bytes."""
    return max(request.parameters.size_bytes, request.mandate.order.initial.size_bytes)


def request_of(message: Message) -> Request | None:
    """Return the request that a message is, None where it asks for no work."""
    match message.body:
        case PrepareRequest() | TrainRequest() | EvaluateRequest() as request:
            return request
        case _:
            return None


def _task(row: tuple[Cell, ...]) -> Task:
    encoded, state, gain, num_answers = row
    message = _message(encoded)
    request = request_of(message)
    if request is None:
        raise TypeError(f"{message.envelope.type} is no task")
    return Task(
        envelope=message.envelope,
        request=request,
        state=State(str(state)),
        num_answers=int(num_answers or 0),
        gain=None if gain is None else EvaluateReply.model_validate_json(str(gain)),
    )


def _message(encoded: Cell) -> Message:
    return decode(encoded if isinstance(encoded, bytes) else b"")
