"""Three hospitals with the six real patients, each with files and tables in its own way.

There is no outcome for these patients: ages, sexes and outcomes are invented here.
"""

import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from tests.support.broker import TestBroker
from tests.support.federation import LILLE, LYON, PARIS, RESEARCHER, Federation

NODES: Final = (LYON, PARIS, LILLE)
TUMOURS: Final = "tumours"
PLANS: Final = ("petct-segmentation", "clinical-logistic")
POLICY: Final = """\
min_cases = 1
require_study = false
max_approval_days = 36500
"""
"""Few cases, and clocks that are wrong by years; of nodes as many as usual."""
DICTIONARY: Final = """\
name = "sarcoma"
version = "1.0"

[variables.age]
type = "number"
unit = "years"
range = [18, 110]

[variables.sex]
type = "category"
codes = ["F", "M"]

[variables.pfs_months]
type = "number"
unit = "months"
range = [0, 240]

[variables.progressed]
type = "flag"

[endpoint]
time = "pfs_months"
event = "progressed"
time_zero = "first day of treatment"

[baseline]
window_days = [-42, 0]
which = "last"
"""
IMPORTED: Final = """\
IPP;Nom;Âge;Sexe;Survie (jours);Progression
STS_008;Durand;61,5;femme;183;oui
STS_999;Dupont;50;homme;90;non
"""
IMPORTED_WORDS: Final = """\
[columns]
age = "Âge"
sex = "Sexe"
pfs_months = "Survie (jours)"
progressed = "Progression"
[units]
pfs_months = "days"
[spellings.sex]
F = ["femme"]
M = ["homme"]
[spellings.progressed]
yes = ["oui"]
no = ["non"]
"""
PUBLISHED: Final = """\
case_id;age;sex;pfs_months;progressed;ward
STS_002;70;F;14,5;no;3
STS_019;58;M;4,25;yes;3
STS_024;66,25;F;20;no;4
"""
PUBLISHED_MAP: Final = """\
[volumes]
PET = ["{case:STS_002}/PET_image.nii.gz", "{case:STS_019}/PET_image.nii.gz",
       "{case:STS_024}/PET_image.nii.gz"]
CT = ["{case:STS_002}/CT_image.nii.gz", "{case:STS_019}/CT_image.nii.gz"]
MASK = ["{case:STS_002}/PET_mask.nii.gz", "{case:STS_019}/PET_mask.nii.gz",
        "{case:STS_024}/PET_mask.nii.gz"]
"""
LINKED: Final = """\
Patient;Alter;Geschlecht;PFS (Tage);Progress
sts_025;49;männlich;396;nein
sts_042;73,5;weiblich;122;ja
"""
LINKED_WORDS: Final = """\
[columns]
age = "Alter"
sex = "Geschlecht"
pfs_months = "PFS (Tage)"
progressed = "Progress"
[units]
pfs_months = "days"
[spellings.sex]
F = ["weiblich"]
M = ["männlich"]
[spellings.progressed]
yes = ["ja"]
no = ["nein"]
"""
LINKED_FILES: Final = {
    "sub-{}/pet/sub-{}_pet.nii.gz": "PET_image.nii.gz",
    "sub-{}/anat/sub-{}_ct.nii.gz": "CT_image.nii.gz",
    "derivatives/masks/sub-{}/pet/sub-{}_mask.nii.gz": "PET_mask.nii.gz",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Hospitals:
    """Homes whose datasets are registered, measured and checked; and what the commands said."""

    federation: Federation
    features: dict[str, dict[str, Any]]
    """By case, of all nodes."""
    checks: dict[str, dict[str, Any]]
    """By node."""

    @property
    def pseudonym(self) -> str:
        """How the imported patient is called."""
        (case,) = self.checks[LYON]["num_scans"]
        return str(case)


def patients() -> Path:
    """Return the folder of the six real patients."""
    folder = os.environ.get("FEDMQ_TEST_DATA")
    assert folder, "set FEDMQ_TEST_DATA to the folder that holds petct_sts, or deselect real_data"
    return Path(folder) / "petct_sts"


@contextmanager
def running_hospitals(folder: Path, broker: TestBroker) -> Iterator[Hospitals]:
    """Yield three nodes that run, whose operators have approved both plans."""
    federation = Federation(folder)
    try:
        federation.join_broker(broker, NODES)
        (federation.home(RESEARCHER) / "sarcoma.toml").write_text(DICTIONARY)
        for node in NODES:
            federation.write_policy(node, POLICY)
            (federation.home(node) / "sarcoma.toml").write_text(DICTIONARY)
        with ThreadPoolExecutor(len(NODES)) as operators:
            said = list(operators.map(partial(_prepare, federation), NODES))
        federation.start_orchestrator()
        for node in NODES:
            federation.start_node(node)
        yield Hospitals(
            federation=federation,
            features={one["case_id"]: one for measured, _ in said for one in measured["cases"]},
            checks={node: check for node, (_, check) in zip(NODES, said, strict=True)},
        )
    finally:
        federation.close()


def _prepare(federation: Federation, node: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what `data features` and `data check` say; the operator has approved the plans."""
    register = {LYON: _import_archive, PARIS: _register_published, LILLE: _register_links}
    register[node](federation)
    measured = federation.do(node, "node", "data", "features", TUMOURS, "--json").json
    check = federation.do(node, "node", "data", "check", TUMOURS, "--json").json
    whom = ("--researcher", RESEARCHER, "--dataset", TUMOURS)
    for plan in PLANS:
        federation.do(node, "node", "plans", "approve", plan, *whom)
    return measured, check


def _import_archive(federation: Federation) -> None:
    """Let a hospital import the patient whose DICOM series are there; its mask is added by hand."""
    home, patient = federation.home(LYON), patients() / "STS_008"
    (home / "patients.csv").write_text(IMPORTED)
    (home / "treatment.csv").write_text("patient_id,date\nSTS_008,2001-09-14\n")
    (home / "ours.toml").write_text(IMPORTED_WORDS)
    kept = [f"--keep-column={one}" for one in ("Âge", "Sexe", "Survie (jours)", "Progression")]
    tables = ("--time-zero", "treatment.csv", "--clinical", "patients.csv", "--id-column", "IPP")
    source = str(patient / "dicom")
    federation.do(LYON, "node", "data", "import", source, "cases", *tables, *kept)
    (case,) = (path for path in (home / "cases").iterdir() if path.is_dir())
    shutil.copy(patient / "PET_mask.nii.gz", case / "MASK.nii.gz")
    _add(federation, LYON, "cases", "--local", "ours.toml")


def _register_published(federation: Federation) -> None:
    """Let a hospital read three patients where they were published, one of them without its CT."""
    home = federation.home(PARIS)
    (home / "map.toml").write_text(PUBLISHED_MAP)
    (home / "outcomes.csv").write_text(PUBLISHED)
    _add(federation, PARIS, str(patients()), "--map", "map.toml", "--clinical", "outcomes.csv")


def _register_links(federation: Federation) -> None:
    """Let a hospital have the last two in BIDS, with a table from an old spreadsheet."""
    home = federation.home(LILLE)
    for name, file in LINKED_FILES.items():
        for patient in ("STS_025", "STS_042"):
            link = home / "bids" / name.format(patient, patient)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(patients() / patient / file)
    (home / "outcomes.csv").write_text(LINKED, encoding="windows-1252")
    (home / "ours.toml").write_text(LINKED_WORDS)
    table = ("--clinical", "outcomes.csv", "--id-column", "Patient", "--encoding", "windows-1252")
    _add(federation, LILLE, "bids", *table, "--local", "ours.toml")


def _add(federation: Federation, node: str, *arguments: str) -> None:
    command = ("node", "data", "add", TUMOURS, *arguments, "--dictionary", "sarcoma.toml")
    federation.do(node, *command)
