"""Data of simulated nodes: every case at one node, with its row, and the same in every run."""

from pathlib import Path

import pytest

from fedmq.errors import ConfigurationError
from fedmq.imaging.datasets import find_cases
from fedmq.imaging.synthetic import SITES, write_cohort
from fedmq.simulation.sites import deal_out, invent_cases
from fedmq.types import NodeId
from tests.support.layouts import put_hecktor

NODES = tuple(map(NodeId, ("a", "b", "c")))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Return a dataset of seven cases."""
    folder = tmp_path / "source"
    write_cohort(SITES["chu-lyon"], folder, num_cases=7, has_volumes=False)
    return folder


def test_each_case_goes_to_one_node_with_its_row(source: Path, tmp_path: Path) -> None:
    """No share is more than a case larger than another, and no case is written a second time."""
    folders = deal_out(source, NODES, tmp_path / "dealt", seed=1)
    shares = [find_cases(folder) for folder in folders.values()]
    dealt = {case.case_id: case.clinical for share in shares for case in share}
    assert dealt == {case.case_id: case.clinical for case in find_cases(source)}
    assert sorted(map(len, shares)) == [2, 2, 3]
    places = [one for folder in folders.values() for one in folder.iterdir() if one.is_dir()]
    assert all(place.is_symlink() for place in places)


def test_cases_of_any_layout_are_dealt_out(tmp_path: Path) -> None:
    """Where files lie together, a case's folder is made of links to its volumes."""
    put_hecktor(tmp_path / "flat")
    folders = deal_out(tmp_path / "flat", NODES, tmp_path / "dealt", seed=1)
    found = [case for folder in folders.values() for case in find_cases(folder)]
    assert {case.case_id: case.clinical for case in found} == {
        "CHUM-002": {"age": "62"},
        "CHUM-010": {"age": "63"},
        "CHUP-001": {"age": "61"},
    }
    assert sorted(len(case.volumes) for case in found) == [2, 3, 3]
    assert all(path.is_symlink() for case in found for path in case.volumes.values())


def test_the_seed_decides_who_has_which_case(source: Path, tmp_path: Path) -> None:
    """Nothing else does."""

    def deal(name: str, seed: int) -> list[list[str]]:
        folders = deal_out(source, NODES, tmp_path / name, seed=seed)
        return [[case.case_id for case in find_cases(one)] for one in folders.values()]

    first, again, other = deal("first", 1), deal("again", 1), deal("other", 2)
    assert first == again
    assert first != other


def test_fewer_cases_than_nodes_are_refused(source: Path, tmp_path: Path) -> None:
    """A node without a case has nothing to register."""
    nodes = [NodeId(f"site-{number}") for number in range(8)]
    with pytest.raises(ConfigurationError, match="dealt out to 8 nodes") as refused:
        deal_out(source, nodes, tmp_path / "dealt", seed=1)
    assert "7 cases" in refused.value.why


def test_invented_patients_are_the_same_with_and_without_images(tmp_path: Path) -> None:
    """A plan that reads no image learns from the same table; nodes differ from each other."""
    tables = {
        name: [
            (folder / "clinical.csv").read_text()
            for folder in invent_cases(
                NODES, tmp_path / name, num_cases=2, seed=5, has_volumes=name == "with"
            ).values()
        ]
        for name in ("with", "without")
    }
    assert tables["with"] == tables["without"]
    assert len(set(tables["with"])) == len(NODES)
    assert list((tmp_path / "with").rglob("*.nii.gz"))
    assert not list((tmp_path / "without").rglob("*.nii.gz"))
