"""A run seen from the researcher's side: followed over outages, downloaded whole or not at all."""

from pathlib import Path

import numpy as np
import pytest

from fedmq.errors import BrokerRefused, BrokerUnavailable, StorageError, TransportError
from fedmq.messages.fields import RatioField
from fedmq.messages.submissions import ExperimentReport, QueryKind
from fedmq.parameters import load_parameters, save_parameters
from fedmq.researcher.run import Run, num_updated, ratio
from fedmq.types import ExperimentId
from tests.unit.messages.examples import RECORD, REPORT

MODEL = {"w": np.arange(3, dtype=np.float32)}


def report(num_closed: int, state: str = "training") -> ExperimentReport:
    """Return a report after so many closed rounds."""
    records = [RECORD.model_copy(update={"round": number + 1}) for number in range(num_closed)]
    return REPORT.model_copy(update={"state": state, "records": records})


class Script:
    """Reports and errors in the order in which they come; the last one comes again and again."""

    def __init__(self, *steps: ExperimentReport | TransportError, model: Path = Path()) -> None:
        self.steps = list(steps)
        self.model = model
        self.wishes: list[tuple[str, QueryKind]] = []

    def read_report(
        self, experiment: ExperimentId, wish: QueryKind = QueryKind.SHOW
    ) -> ExperimentReport:
        """Return or raise the next step."""
        if wish is not QueryKind.SHOW:
            self.wishes.append((experiment, wish))
        step = self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]
        if isinstance(step, TransportError):
            raise step
        return step

    def fetch_model(self, _experiment: ExperimentId) -> Path:
        """Return the model's file."""
        return self.model


class Clock:
    """Time that passes in sleeps alone."""

    def __init__(self) -> None:
        self.now = 0.0
        self.sleeps: list[float] = []

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.sleeps.append(seconds)
        self.now += seconds


def a_run(script: Script, clock: Clock | None = None) -> Run:
    """Return a run that reads the script."""
    clock = clock or Clock()
    return Run(ExperimentId("pfs-12-a1"), script, clock=lambda: clock.now, sleep=clock.sleep)


def test_following_gives_what_was_then_what_comes_to_the_end() -> None:
    """Each state once, however often it is looked at."""
    steps = [report(2), report(2), report(3), report(3), report(3, "finished")]
    seen = list(a_run(Script(*steps)).follow())
    assert [(len(one.records), one.state) for one in seen] == [
        (2, "training"),
        (3, "training"),
        (3, "finished"),
    ]


@pytest.mark.parametrize("state", ["finished", "finished_short", "failed", "stopped"])
def test_what_is_over_is_not_followed_on(state: str) -> None:
    """One look, no sleep."""
    clock = Clock()
    assert len(list(a_run(Script(report(1, state)), clock).follow())) == 1
    assert clock.sleeps == []


def test_waiting_gives_the_last_report() -> None:
    """With its state."""
    assert a_run(Script(report(0), report(1, "failed"))).wait().state == "failed"


def test_a_long_round_is_looked_at_ever_more_rarely() -> None:
    """From `poll_s` on to 15 s; a change makes the looks frequent again."""
    clock = Clock()
    quiet = [report(0)] * 200
    list(a_run(Script(*quiet, report(1), report(1, "finished")), clock).follow(poll_s=2.0))
    assert clock.sleeps[0] == 2.0
    assert max(clock.sleeps) == 15.0
    assert clock.sleeps == [*sorted(clock.sleeps[:-1]), 2.0]


def test_a_broker_that_goes_away_while_one_follows_is_waited_for() -> None:
    """A restart of the hub ends nobody's notebook."""
    gone = BrokerUnavailable("no broker answers")
    seen = list(a_run(Script(report(1), gone, gone, report(2, "finished"))).follow())
    assert [len(one.records) for one in seen] == [1, 2]


def test_patience_ends() -> None:
    """After so long a silence the error is told."""
    clock = Clock()
    with pytest.raises(BrokerUnavailable):
        list(a_run(Script(report(1), BrokerUnavailable("gone")), clock).follow(patience_s=100.0))
    assert 100.0 <= clock.now < 130.0


@pytest.mark.parametrize(
    "steps",
    [[BrokerUnavailable("gone"), report(1, "finished")], [report(1), BrokerRefused("no")]],
)
def test_what_waiting_does_not_mend_is_told_at_once(
    steps: list[ExperimentReport | TransportError],
) -> None:
    """A refusal, and a broker that was never there."""
    clock = Clock()
    with pytest.raises(TransportError):
        list(a_run(Script(*steps), clock).follow())
    assert clock.now < 2.0


def test_stopping_asks_for_it() -> None:
    """And gives the state after it."""
    script = Script(report(1, "stopped"))
    assert a_run(script).stop().state == "stopped"
    assert script.wishes == [("pfs-12-a1", QueryKind.STOP)]


def test_pausing_and_resuming_ask_for_it() -> None:
    """And return the experiment as it stands then."""
    script = Script(report(1, "paused"), report(1, "training"))
    run = a_run(script)
    assert run.pause().state == "paused"
    assert run.resume().state == "training"
    assert [wish for _, wish in script.wishes] == [QueryKind.PAUSE, QueryKind.RESUME]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Return the file of a model."""
    path = tmp_path / "payload"
    save_parameters(MODEL, path)
    return path


@pytest.mark.parametrize("named", [True, False])
def test_a_download_is_the_whole_file_and_nothing_beside_it(
    tmp_path: Path, model: Path, *, named: bool
) -> None:
    """Under the name given, in a new folder; or under the id, in a folder that is there."""
    folder = tmp_path / "models"
    if not named:
        folder.mkdir()
    asked = folder / "best.safetensors" if named else folder
    path = a_run(Script(report(1), model=model)).download(asked)
    assert list(folder.iterdir()) == [path]
    assert path.name == ("best.safetensors" if named else "pfs-12-a1.safetensors")
    assert load_parameters(path)["w"].tolist() == [0.0, 1.0, 2.0]


def test_a_download_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    """The model before it, and no half of the next one."""
    path = tmp_path / "best.safetensors"
    path.write_bytes(b"before")
    with pytest.raises(StorageError, match="cannot be written"):
        a_run(Script(report(1), model=tmp_path / "none")).download(path)
    assert [(one.name, one.read_bytes()) for one in tmp_path.iterdir()] == [
        ("best.safetensors", b"before")
    ]


def test_a_download_to_no_folder_is_an_error_with_a_fix(tmp_path: Path, model: Path) -> None:
    """A file stands where a folder is needed."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="choose another place"):
        a_run(Script(report(1), model=model)).download(tmp_path / "file" / "best.safetensors")


def test_a_run_shows_its_rounds_as_a_table(model: Path) -> None:
    """One row per closed round, texts of others are no markup."""
    shown = report(2).model_copy(update={"reason": "<b>waits</b>"})
    run = a_run(Script(shown, model=model))
    assert (str(run), repr(run)) == ("pfs-12-a1", "Run('pfs-12-a1')")
    table = run._repr_html_()
    assert table.count("<tr><td>") == 2
    assert "<td>1 of 1</td><td>0.5000</td>" in table
    assert "<b>" not in table
    assert str(run) == "pfs-12-a1: training, round 2 of 3; <b>waits</b>"


def test_counts_of_cases_stand_below_the_table_in_words(model: Path) -> None:
    """A share of the cases that had a CT is no column beside the C-index."""
    shown = report(1)
    counts = {"with_ct": RatioField(numerator=3.0, denominator=4.0)}
    record = shown.records[0].model_copy(update={"train_metrics": counts, "metrics": counts})
    table = a_run(Script(shown.model_copy(update={"records": [record]}), model=model))._repr_html_()
    assert "<th>round</th><th>nodes</th></tr>" in table
    assert "<p>training cases: CT 3 of 4</p><p>validation cases: CT 3 of 4</p>" in table


@pytest.mark.parametrize(
    ("metric", "value"),
    [
        (None, None),
        (RatioField(numerator=1.0, denominator=0.0), None),
        (RatioField(numerator=3.0, denominator=4.0), 0.75),
    ],
)
def test_a_metric_without_anything_to_speak_of_is_none(
    metric: RatioField | None, value: float | None
) -> None:
    """No division by nothing."""
    assert ratio(metric) == value


def test_updates_are_counted_by_their_outcome() -> None:
    """Refusals and late nodes are none."""
    missed = RECORD.outcomes[0].model_copy(update={"outcome": "missed"})
    record = RECORD.model_copy(update={"outcomes": [*RECORD.outcomes, missed]})
    assert num_updated(record) == 1
