"""`fedmq simulate` as researchers run it: a process, many nodes, an end that leaves nothing."""

import json
import re
import resource
import signal
import subprocess
from pathlib import Path

import pytest

from fedmq.parameters import load_parameters
from fedmq.researcher.experiment import Experiment
from tests.support.federation import (
    FEDMQ,
    LYON,
    PARIS,
    RESEARCHER,
    Federation,
    environment,
    until,
)

EXAMPLES = Path(__file__).parents[2] / "examples"
ENCODINGS_PAGE = Path(__file__).parents[2] / "docs" / "encodings.md"
AS_IT_IS: dict[str, object] = {}
ENCODED: dict[str, object] = {"update_encoding": "int8", "model_encoding": "bf16"}


def simulate(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Return how `fedmq simulate WORDS` ended."""
    return subprocess.run(  # noqa: S603 - the product's own command line
        [*FEDMQ, "simulate", *words],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )


@pytest.mark.timeout(300)
def test_a_hundred_nodes_are_simulated_within_a_minute(tmp_path: Path) -> None:
    """Of processor time, so that other work of the machine does not count."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    ended = simulate(tmp_path, str(EXAMPLES / "mean.toml"), "--nodes", "100")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert ended.returncode == 0, ended.stderr
    rows = [line.split() for line in ended.stdout.splitlines()[1:]]
    assert [row[:6] for row in rows] == [
        ["1", "of", "2", "100", "of", "100"],
        ["2", "of", "2", "100", "of", "100"],
    ]
    assert 60 < load_parameters(tmp_path / "mean-age-simulated.safetensors")["mean"][0] < 70
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 60


@pytest.mark.rabbitmq
@pytest.mark.xdist_group("federation")
@pytest.mark.parametrize("travel", [AS_IT_IS, ENCODED], ids=["exact", "encoded"])
def test_the_models_are_those_of_real_nodes(
    federation: Federation, travel: dict[str, object]
) -> None:
    """Of the same names with the same cases: bit for bit, in every round."""
    experiment = federation.write_experiment(rounds=2, **travel)
    real = federation.submit(experiment)
    federation.approve(LYON, PARIS)
    folders = [f"--data={federation.home(node) / 'cases'}" for node in (LYON, PARIS)]
    ended = federation.do(RESEARCHER, "simulate", str(experiment), *folders, "--json")
    documents = [json.loads(line) for line in ended.data.splitlines()]
    rehearsed = [one["record"]["model"] for one in documents if one["kind"] == "round"]
    assert rehearsed == federation.digests(real)


def test_the_experiment_of_the_page_on_encodings_can_be_simulated(tmp_path: Path) -> None:
    """With a plan on tables, which is quick; with less it would say so."""
    (shown,) = re.findall(
        r"^```toml\n(.*?)^```$", ENCODINGS_PAGE.read_text(), re.DOTALL | re.MULTILINE
    )
    shown = shown.replace("petct-survival", "clinical-logistic")
    (tmp_path / "experiment.toml").write_text(shown)
    ended = simulate(tmp_path, "experiment.toml", "--rounds", "5", "--json")
    assert ended.returncode == 0, ended.stderr
    documents = [json.loads(line) for line in ended.stdout.splitlines()]
    assert sum(one["kind"] == "round" for one in documents) == 5
    said = Experiment.from_toml(tmp_path / "experiment.toml")
    assert (said.update_encoding, said.top_k_share) == ("top-k", 0.05)
    assert said.model_encoding == "bf16"


def test_who_leaves_ends_everything(tmp_path: Path) -> None:
    """Ctrl-C in the middle of a training ends the trainer too, and leaves no file."""
    (tmp_path / "tmp").mkdir()
    begun = tmp_path / "begun"
    plan = (EXAMPLES / "mean_plan.py").read_text()
    line = "        mean = np.array([values.mean()])"
    assert line in plan
    wait = f"""
        import os, pathlib, time
        pathlib.Path({str(begun)!r}).write_text(str(os.getpid()))
        time.sleep(600)"""
    (tmp_path / "mean_plan.py").write_text(plan.replace(line, wait))
    (tmp_path / "mean.toml").write_text((EXAMPLES / "mean.toml").read_text())
    program = subprocess.Popen(  # noqa: S603 - the product's own command line
        [*FEDMQ, "simulate", "mean.toml", "--cases", "4"],
        cwd=tmp_path,
        env=environment(tmp_path) | {"TMPDIR": str(tmp_path / "tmp")},
        stderr=subprocess.PIPE,
        text=True,
    )
    until(lambda: begun.exists() and begun.read_text(), "a training")
    program.send_signal(signal.SIGINT)
    _, talk = program.communicate(timeout=60)
    assert program.returncode == 130
    assert talk.splitlines()[-1] == "you left; nothing goes on"
    assert not Path(f"/proc/{begun.read_text()}").exists()
    assert not list((tmp_path / "tmp").iterdir())
