"""Features on their way to a plan: measured by the node, read by a contained trainer."""

import queue
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fedmq.imaging.synthetic import SITES, write_cohort
from fedmq.learning.catalogue import plan_digest, plan_source
from fedmq.learning.trainer_protocol import Broken, Done, Job, JobKind, job_line
from fedmq.messages.replies import FailureCode
from fedmq.node.cells import hand_in
from fedmq.node.measuring import measure_dataset
from fedmq.node.records import Records, open_records
from fedmq.node.warm_trainers import TrainerKey
from fedmq.node.withdrawing import withdraw_case
from fedmq.node.worker import Worker, WorkerEvent
from fedmq.parameters import load_parameters, save_parameters
from fedmq.transport.home import LocalHome
from fedmq.types import Digest, ExperimentId

NAME = "lung"
PLAN = "clinical-logistic"
WITHOUT_IMAGING = """
import sys
for name in ("nibabel", "scipy", "torch", "monai"):
    sys.modules[name] = None  # to import it is an error
from fedmq.learning.trainer_jobs import perform
from fedmq.learning.trainer_protocol import answer_line, parse_job
job = parse_job(sys.stdin.buffer.read())
sys.stdout.buffer.write(answer_line(perform(job, lambda share, text: None)))
"""


class Site:
    """A node with a dataset and a worker that contains its plans."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cases = folder / "cases"
        write_cohort(SITES["chu-lyon"], self.cases, num_cases=8)
        self.home = folder / "home"
        self.records: Records = open_records(LocalHome(self.home))
        self.records.datasets.add(NAME, self.cases, now=0.0)
        self.events: queue.Queue[WorkerEvent] = queue.Queue()
        self.worker = Worker(self.home / "scratch", self.events.put)
        zeros = {"weight": np.zeros(2), "bias": np.zeros(1)}
        save_parameters(zeros, folder / "zeros")

    def measure(self) -> None:
        """Measure the features of the cases."""
        measure_dataset(
            self.records, NAME, num_threads=2, progress=lambda _a, _b: None, steady=lambda: 0.0
        )

    def job(self) -> Job:
        """Return a job that trains on two features, as the node makes it."""
        features = self.records.features.path(NAME)
        return Job(
            job_id="job",
            kind=JobKind.TRAIN,
            plan_name=PLAN,
            plan_digest=plan_digest(plan_source(PLAN)),
            source_path=None,
            config={
                "features": ["suv_max", "mtv41_ml"],
                "centres": [8.0, 15.0],
                "scales": [4.0, 10.0],
                "horizon_months": 6.0,
                "learning_rate": 0.5,
            },
            dataset_folder=str(self.cases),
            clinical=None,
            features=None if features is None else str(features),
            spoiled=tuple(sorted(self.records.datasets.spoiled(NAME))),
            withdrawn=tuple(
                (one.case_id, one.modalities) for one in self.records.withdrawals.of(NAME)
            ),
            parameters_path=str(self.folder / "zeros"),
            output_path=str(self.folder / "output"),
            seed=1,
            round=1,
            split_seed=3,
            validation_share=0.25,
            num_threads=1,
        )

    def run(self, job: Job) -> WorkerEvent:
        """Return how a job ends at the worker."""
        key = TrainerKey(
            experiment=ExperimentId("lung-1"), plan_digest=Digest(job.plan_digest), dataset=NAME
        )
        self.worker.begin(key, job)
        while True:
            event = self.events.get(timeout=60)
            if isinstance(event, Done | Broken):
                return event


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Return a site, closed in the end."""
    made = Site(tmp_path)
    yield made
    made.worker.close()
    made.records.close()


def test_a_contained_plan_learns_from_features(site: Site) -> None:
    """Of the columns that its config names; the node's own folder is not shown to it."""
    site.measure()
    done = site.run(site.job())
    assert isinstance(done, Done), done
    assert (done.num_training_cases, done.num_validation_cases) == (6, 2)
    weight = load_parameters(site.folder / "output")["weight"]
    assert (weight != 0.0).all()


def test_without_features_the_plan_names_the_column_and_the_fix(site: Site) -> None:
    """Never measured: the site's log has what to do."""
    broken = site.run(site.job())
    assert isinstance(broken, Broken)
    assert broken.code is FailureCode.DATASET_ERROR
    assert "no case has the column suv_max" in broken.what
    assert "fedmq node data features" in broken.what


def test_a_trainer_on_features_imports_nothing_that_reads_images(site: Site) -> None:
    """No nibabel, scipy or torch, and so no GPU; the update is that of the worker."""
    site.measure()
    (site.folder / "cell" / "in").mkdir(parents=True)
    (site.folder / "cell" / "out").mkdir()
    job = hand_in(site.job(), site.folder / "cell")
    answer = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, "-c", WITHOUT_IMAGING],
        input=job_line(replace(job, kept_cases=str(site.folder / "kept"), kept_bytes=1)),
        capture_output=True,
        check=True,
        timeout=60,
    ).stdout
    assert b'"num_training_cases":6' in answer
    alone = Path(job.output_path or "").read_bytes()
    assert isinstance(site.run(site.job()), Done)
    assert (site.folder / "output").read_bytes() == alone


def test_rows_of_other_files_and_of_withdrawn_cases_never_reach_a_plan(site: Site) -> None:
    """Changed since, found unfit since, withdrawn: what is handed in has the rest."""
    site.measure()
    names = sorted(path.name for path in site.cases.iterdir() if path.is_dir())
    job = replace(site.job(), withdrawn=((names[0], ("PET",)),), spoiled=((names[1], "MASK"),))
    (site.cases / names[2] / "PET.nii.gz").touch()
    cell = site.folder / "cell"
    for name in ("in", "out"):
        (cell / name).mkdir(parents=True)
    inner = hand_in(job, cell)
    shown = Path(str(inner.features))
    assert shown.is_relative_to(cell)
    lines = shown.read_text().splitlines()
    assert [line.split(",")[0] for line in lines[1:]] == names[3:]
    assert "files" not in lines[0]
    for name in names[3:]:
        (site.cases / name / "MASK.nii.gz").touch()
    assert hand_in(job, cell).features is None
    assert not shown.exists()


def test_a_case_withdrawn_by_the_operator_is_in_no_table(site: Site) -> None:
    """Neither in the node's nor in the next job's."""
    site.measure()
    withdraw_case(site.records, NAME, "chu-lyon-001", reason="", now=1.0)
    done = site.run(site.job())
    assert isinstance(done, Done)
    assert "chu-lyon-001" not in done.cases
    assert "chu-lyon-001" not in (site.home / "features" / "lung.csv").read_text()


def test_a_clinical_column_called_as_a_feature_ends_the_job_by_name(site: Site) -> None:
    """It came after the features were measured."""
    site.measure()
    clinical = site.cases / "clinical.csv"
    clinical.write_text(clinical.read_text().replace("age", "suv_max", 1))
    broken = site.run(site.job())
    assert isinstance(broken, Broken)
    assert broken.code is FailureCode.DATASET_ERROR
    assert "are features too: suv_max" in broken.what
