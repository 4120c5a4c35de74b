"""Imaging from the archive to models: six real patients in three hospitals, over a real broker.

The archive has no outlines of the imported patient's tumour: its published mask is copied into the
case by hand. Ages, sexes and outcomes are invented, for nobody has published any.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from fedmq.parameters import load_parameters
from tests.support.broker import TestBroker
from tests.support.federation import (
    DATASET,
    LILLE,
    LYON,
    PARIS,
    PLAN,
    RESEARCHER,
    Federation,
    running_federation,
    until,
)
from tests.support.hospitals import NODES, TUMOURS, Hospitals, running_hospitals

pytestmark = [
    pytest.mark.rabbitmq,
    pytest.mark.timeout(300),
    pytest.mark.xdist_group("imaging-path"),
]

REFERENCE = {
    "STS_002": (21.68, 18.8, 54.3),
    "STS_008": (6.50, 16.2, 27.9),
    "STS_019": (16.33, 12.1, 17.2),
    "STS_024": (19.28, 38.9, 76.9),
    "sub-STS_025": (6.38, 18.8, 30.2),
    "sub-STS_042": (6.92, 18.8, 34.8),
}
"""Inside the PET mask: SUVmax; volume over 41 % of SUVmax, ml; volume of the mask, ml."""
SETTINGS = {
    "name": TUMOURS,
    "dataset": TUMOURS,
    "dictionary": "sarcoma.toml",
    "nodes": list(NODES),
    "quorum": 3,
    "seed": 5,
    "validation_share": 0.34,
}
"""Of these cases STS_002 and sub-STS_042 validate."""
DAYS_OF_A_MONTH = 365.25 / 12
TABLES = """\
name = "tables"
version = "{version}"
[variables.site]
type = "category"
codes = ["chu-lyon", "ghu-paris"]
[variables.x]
type = "number"
"""
SEGMENTATION = """\
spacing_mm = 4.0
patch = [24, 24, 24]
width = 4
epochs = 5
learning_rate = 0.01
"""
LOGISTIC = """\
features = ["age", "suv_max", "mtv41_ml"]
centres = [60.0, 10.0, 15.0]
scales = [10.0, 5.0, 10.0]
learning_rate = 0.5
"""


@pytest.fixture(scope="module")
def hospitals(tmp_path_factory: pytest.TempPathFactory, broker: TestBroker) -> Iterator[Hospitals]:
    """Return three hospitals that the tests share; each leaves them as they were."""
    with running_hospitals(tmp_path_factory.mktemp("imaging") / "f", broker) as running:
        yield running


@pytest.fixture
def federation(hospitals: Hospitals) -> Federation:
    """Return the programs of the hospitals."""
    return hospitals.federation


def write(federation: Federation, plan: str, config: str) -> Path:
    """Return the file of an experiment over all three nodes."""
    return federation.write_experiment(rounds=1, plan=plan, config=config, **SETTINGS)


def train_by_hand(hospitals: Hospitals) -> tuple[np.ndarray, float]:
    """Return weights and bias of the logistic model, from the training cases' rows in the open."""
    rows = {
        # case: age, months, progressed
        LYON: {hospitals.pseudonym: (61.5, 183 / DAYS_OF_A_MONTH, True)},
        PARIS: {"STS_019": (58.0, 4.25, True), "STS_024": (66.25, 20.0, False)},
        LILLE: {"sub-STS_025": (49.0, 396 / DAYS_OF_A_MONTH, False)},
    }
    weight, bias, num_cases = np.zeros(3), 0.0, 0
    for cases in rows.values():
        measured = [hospitals.features[case] for case in cases]
        table = [
            ((age - 60.0) / 10.0, (one["suv_max"] - 10.0) / 5.0, (one["mtv41_ml"] - 15.0) / 10.0)
            for (age, _, _), one in zip(cases.values(), measured, strict=True)
        ]
        features = np.array(table)
        labels = np.array([is_over and months <= 12.0 for _, months, is_over in cases.values()])
        own_weight, own_bias = np.zeros(3), 0.0
        for _ in range(5):
            residual = 1.0 / (1.0 + np.exp(-features @ own_weight - own_bias)) - labels
            own_weight = own_weight - 0.5 * (residual @ features) / len(labels)
            own_bias = own_bias - 0.5 * float(residual.mean())
        weight += len(labels) * own_weight
        bias += len(labels) * own_bias
        num_cases += len(labels)
    return weight / num_cases, bias / num_cases


@pytest.mark.real_data
def test_every_site_understands_its_own_patients(hospitals: Hospitals) -> None:
    """An archive, a published folder by a map, BIDS: no finding, every row, features, a page."""
    sidecar = hospitals.federation.home(LYON) / "cases" / hospitals.pseudonym / "PET.json"
    assert json.loads(sidecar.read_text())["fedmq"]["scan_day"] == -12
    found = {
        node: (one["layout"], one["num_cases"], one["num_sound"], one["clinical"]["num_matched"])
        for node, one in hospitals.checks.items()
    }
    assert found == {
        LYON: ("folders", 1, 1, 1),
        PARIS: ("patterns", 3, 3, 3),
        LILLE: ("bids-pet", 2, 2, 2),
    }
    assert hospitals.checks[PARIS]["cases_without"]["CT"] == ["STS_024"]
    assert hospitals.checks[PARIS]["columns"]["unused"] == ["ward"]
    assert {one["columns"]["units"]["pfs_months"] for one in hospitals.checks.values()} == {
        "days",
        "months",
    }
    known = {hospitals.pseudonym: REFERENCE["STS_008"]} | REFERENCE
    assert len(hospitals.features) == 6
    for case, one in hospitals.features.items():
        suv_max, mtv41_ml, mask_ml = known[case]
        assert one["suv_max"] == pytest.approx(suv_max, abs=0.01)
        assert one["mtv41_ml"] == pytest.approx(mtv41_ml, abs=0.1)
        assert one["mask_ml"] == pytest.approx(mask_ml, abs=0.1)
    for node, check in hospitals.checks.items():
        page = Path(check["page"]).read_text()
        cases = set(hospitals.checks[node]["num_scans"])
        assert all(case in page for case in cases)
        assert page.count("<img") + page.count("<svg") >= len(cases)
    of_import = Path(hospitals.checks[LYON]["page"]).read_text()
    assert "STS_008" not in of_import
    assert "Durand" not in of_import


@pytest.mark.real_data
@pytest.mark.training
def test_a_network_learns_from_all_and_a_killed_node_changes_no_bit(
    federation: Federation,
) -> None:
    """A case without CT learns too, and the report counts it; the same again is the same model."""
    experiment = write(federation, "petct-segmentation", SEGMENTATION)
    identifier = federation.submit(experiment)
    models = federation.digests(identifier)
    said = " ".join(federation.follow(identifier).split())
    assert "1 of 1 3 of 3" in said
    assert "training cases: CT 3 of 4, PET 4 of 4; none left out" in said
    assert "validation cases: CT 2 of 2, PET 2 of 2" in said

    again = federation.submit(experiment)
    node = federation.programs[PARIS]
    training = f"experiment={again} kind=train.request"
    node.expect(training)
    node.kill()
    assert node.log().count(training) == 1, "it was begun, and not answered"
    federation.start_node(PARIS)
    assert federation.digests(again) == models


@pytest.mark.real_data
def test_features_and_rows_written_in_three_ways_give_the_model_by_hand(
    hospitals: Hospitals, federation: Federation
) -> None:
    """Days and months, decimal commas, local words: the dictionary makes one table of them."""
    identifier = federation.submit(write(federation, "clinical-logistic", LOGISTIC))
    assert "1 of 1 3 of 3" in " ".join(federation.follow(identifier).split())
    place = federation.home(RESEARCHER) / "logistic.safetensors"
    federation.do(RESEARCHER, "experiments", "fetch", identifier, str(place))
    model = load_parameters(place)
    weight, bias = train_by_hand(hospitals)
    np.testing.assert_allclose(model["weight"], weight, rtol=1e-9)
    np.testing.assert_allclose(model["bias"], [bias], rtol=1e-9)
    assert (np.abs(weight) > 0.01).all()


@pytest.mark.real_data
def test_of_so_few_cases_nothing_is_told_but_that_they_are_few(federation: Federation) -> None:
    """Nor which site has a patient without CT."""
    digest = federation.do(LYON, "node", "data", "dictionary", TUMOURS, "--json").json["digest"]

    def told() -> list[str]:
        shown = federation.do(RESEARCHER, "nodes", "--data").data.splitlines()
        lines = [line.strip() for line in shown]
        return lines if sum(line.startswith(f"{TUMOURS}: ") for line in lines) == 3 else []

    lines = until(told, "what the nodes tell")
    few = [
        f"{TUMOURS}: fewer than 10 cases, read by sarcoma 1.0 {digest[:12]}",
        *(f"{one}: too few have it, or lack it, to be told" for one in ("CT", "MASK", "PET")),
    ]
    for node in NODES:
        (place,) = (index for index, line in enumerate(lines) if line.startswith(node))
        assert lines[place + 1 : place + 5] == few


def test_a_node_with_another_dictionary_waits_until_its_data_are_read_by_the_asked_one(
    tmp_path: Path, broker: TestBroker
) -> None:
    """Its operator sees which one is asked for; nobody has to ask again."""
    with running_federation(tmp_path / "f", broker) as federation:
        homes = [federation.home(name) for name in (LYON, PARIS, RESEARCHER)]
        for home in homes:
            (home / "tables.toml").write_text(TABLES.format(version="1.0"))
        (federation.home(PARIS) / "old.toml").write_text(TABLES.format(version="0.9"))
        read_by = ("node", "data", "dictionary", DATASET, "--set")
        federation.do(LYON, *read_by, "tables.toml")
        federation.do(PARIS, *read_by, "old.toml")
        experiment = federation.write_experiment(rounds=1, dictionary="tables.toml")
        run = federation.start("run", RESEARCHER, "run", str(experiment), "--output", "model")
        federation.approve(LYON, PARIS)
        run.expect(f"1 of at least 2 nodes take part; {PARIS}: dictionary_differs")
        shown = federation.do(PARIS, "node", "plans", "show", PLAN)
        assert "tables 1.0" in shown.talk + shown.data
        federation.do(PARIS, *read_by, "tables.toml")
        assert run.wait() == 0, run.log()
        assert "2 of 2" in run.log()
