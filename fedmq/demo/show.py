"""The demonstration: a federation of four invented hospitals on this machine, one experiment."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fedmq.demo.programs import Programs
from fedmq.demo.references import Reference, train_references
from fedmq.hub import lifecycle
from fedmq.hub.files import make_folder
from fedmq.hub.local import enrol_here
from fedmq.hub.members import Hub
from fedmq.imaging.synthetic import SITES, write_cohort
from fedmq.messages.fields import Study
from fedmq.messages.submissions import ExperimentReport
from fedmq.node.cores import shared_threads
from fedmq.node.dependencies import read_dependencies
from fedmq.node.plans import Asked
from fedmq.node.policy import Policy
from fedmq.node.proposals import Wishes, propose_terms
from fedmq.node.records import open_records
from fedmq.researcher.client import Client
from fedmq.researcher.experiment import Experiment
from fedmq.researcher.run import Run
from fedmq.settings import Settings
from fedmq.transport.home import LocalHome
from fedmq.types import Role

DATASET: Final = "lung-petct"
RESEARCHER: Final = "researcher"
PLAN: Final = "petct-survival"
COHORT_FACTOR: Final = 2
"""So many times the sites' usual cases: enough validation cases to tell models apart."""
STUDY: Final = Study(
    protocol="demonstration", ethics="none: the patients are invented", end="2099-12-31"
)
EXPERIMENT: Final = """\
# The experiment of the demonstration; fedmq run publishes it again
[experiment]
name = "lung-pfs"
plan = "petct-survival"
dataset = "lung-petct"
purpose = "Progression-free survival at 12 months from PET/CT, on invented patients"
rounds = {rounds}
quorum = 3
seed = 7
validation_share = 0.3

[study]
protocol = "demonstration"
ethics = "none: the patients are invented"
end = 2099-12-31

[config]
epochs = 2
learning_rate = 0.003
spacing_mm = 5.0
shape = [24, 24, 24]    # all of an invented patient: 12 cm
"""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a demonstration ends with."""

    report: ExperimentReport
    references: tuple[Reference, ...]
    folder: Path
    """Of the experiment: models and records."""
    queues_page: str
    monitor_file: Path


class Demo:
    """The federation of one folder."""

    def __init__(self, settings: Settings, say: Say) -> None:
        self._settings = settings
        self.home = settings.home
        self._say = say
        threads = shared_threads(len(SITES))
        self._programs = Programs(settings.home, settings={"FEDMQ_TASK_THREADS": str(threads)})

    def start(self) -> None:
        """Return once hub, orchestrator and nodes run, with data registered and plan approved.

        Raises:
            HubError: the broker or one of the programs does not start.
        """
        make_folder(self.home)
        make_folder(self.home / "logs")
        self._start_hub()
        for site in SITES:
            self._set_up_site(site)
        self._programs.start("orchestrator", ["orchestrator", "start"], self.home)
        for site in SITES:
            self._programs.start(site, ["node", "start"], self._site(site))
        self._say(f"orchestrator and {len(SITES)} nodes started, each a process of its own")

    def submit(self, client: Client, rounds: int) -> Run:
        """Return the run of the demonstration's experiment."""
        path = self.home / "experiment.toml"
        path.write_text(EXPERIMENT.format(rounds=rounds), encoding="utf-8")
        self._programs.require_running()
        return client.submit(Experiment.from_toml(path))

    def client(self) -> Client:
        """Return the demonstration's researcher."""
        return Client.from_credentials(self.home / "credentials.toml")

    def finish(self, report: ExperimentReport) -> Result:
        """Return the experiment beside what its plan learns without a federation."""
        folders = {site: self._site(site) / "cases" for site in SITES}
        state = lifecycle.status(self._settings.hub)
        return Result(
            report=report,
            references=train_references(report.spec, folders),
            folder=self._settings.orchestrator / "experiments" / report.experiment,
            queues_page=state.queues_page,
            monitor_file=self._settings.hub / "credentials" / "monitor.toml",
        )

    def stop(self) -> None:
        """Return once every process of the demonstration is gone; its files stay."""
        stopped = self._programs.stop()
        hub = Hub(self._settings.hub)
        is_own = hub.register().external is None
        if is_own:
            hub.broker.stop()
        ended = ", ".join(stopped) or "nothing"
        self._say(f"ended {ended}" + ("; the hub is down" if is_own else ""))

    def _start_hub(self) -> None:
        began = time.monotonic()
        own = self._settings
        if own.broker_url is not None and own.broker_admin_url is not None:
            state = lifecycle.external(
                own.hub,
                amqp_url=own.broker_url,
                admin_url=own.broker_admin_url.get_secret_value(),
                authority=own.read_broker_authority(),
            )
        else:
            state = lifecycle.up(own.hub, self._say)
        enrol_here(own.hub, RESEARCHER, Role.RESEARCHER, self.home / "credentials.toml")
        self._say(f"hub up at {state.url} ({time.monotonic() - began:.0f} s)")

    def _set_up_site(self, name: str) -> None:
        """Do what the operator of a hospital does: data, node, approval."""
        home = self._site(name)
        cases = home / "cases"
        make_folder(self.home / "sites")
        make_folder(home)
        if not (cases / "clinical.csv").exists():
            site = SITES[name]
            write_cohort(site, cases, num_cases=COHORT_FACTOR * site.num_cases)
        node = home / "node"
        records = open_records(LocalHome(node))
        enrol_here(self._settings.hub, name, Role.NODE, node / "credentials.toml")
        if records.datasets.find(DATASET) is None:
            inspection = records.datasets.add(DATASET, cases, None, now=time.time())
            self._say(f"{name}: {len(inspection.cases)} invented patients with PET and CT")
        asked = Asked(researcher=RESEARCHER, dataset=DATASET, study=STUDY)
        policy, now = Policy(), time.time()
        terms = propose_terms(asked, Wishes(), policy, read_dependencies(), now=now)
        plan = records.plans.find(PLAN)
        records.plans.approve(plan, terms, "demonstration", needed=1, now=now)
        records.close()

    def _site(self, name: str) -> Path:
        return self.home / "sites" / name
