"""Kept cases: each trainer's folder is its own, and goes with what it was made for."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedmq.node.footprint import KEPT_MARGIN_BYTES
from fedmq.node.kept_cases import KeptCases, Place
from fedmq.types import Digest, ExperimentId
from tests.support import closed

A, B = ExperimentId("exp-a"), ExperimentId("exp-b")
BLOCK = 4096


def place(
    kept: KeptCases,
    experiment: ExperimentId = A,
    *,
    plan: str = "p",
    dataset: str = "d",
    withdrawn: tuple[str, ...] = (),
) -> Place:
    """Return the folder of a trainer, with a file in it."""
    found = kept.place(experiment, plan_digest=Digest(plan), dataset=dataset, withdrawn=withdrawn)
    assert found is not None
    (found.folder / "a.case").write_bytes(bytes(10 * BLOCK))
    return found


def test_no_two_trainers_share_a_folder(tmp_path: Path) -> None:
    """Another experiment, plan or dataset: what one leaves there, no other reads."""
    kept = KeptCases(tmp_path / "cases")
    places = [
        place(kept),
        place(kept, B),
        place(kept, plan="q"),
        place(kept, dataset="e"),
    ]
    assert len({one.folder for one in places}) == 4
    assert place(kept).folder == places[0].folder
    assert all((one.folder / "a.case").is_file() for one in places)


def test_a_name_of_a_dataset_is_in_no_path(tmp_path: Path) -> None:
    """It may carry anything."""
    folder = place(KeptCases(tmp_path), dataset="../jane doe").folder
    assert folder.is_relative_to(tmp_path)
    assert "jane" not in str(folder)


def test_after_a_withdrawal_nothing_of_the_dataset_stays(tmp_path: Path) -> None:
    """In no experiment; another dataset keeps what it has."""
    kept = KeptCases(tmp_path)
    before, of_b, other = place(kept), place(kept, B), place(kept, dataset="e")
    after = place(kept, withdrawn=("case-1",))
    assert not before.folder.exists()
    assert not of_b.folder.exists()
    assert after.folder.is_dir()
    assert other.folder.is_dir()
    kept.end_dataset("d")
    assert not after.folder.exists()
    assert other.folder.is_dir()


def test_what_is_over_leaves_nothing(tmp_path: Path) -> None:
    """Told as it ends, or found later, whatever a plan has left there."""
    kept = KeptCases(tmp_path)
    first, second = place(kept), place(kept, B)
    (second.folder / "link").symlink_to(first.folder)
    kept.sweep(lambda experiment: experiment == "exp-a")
    assert not second.folder.parent.exists()
    assert (first.folder / "a.case").is_file()
    kept.end_experiment(A)
    assert not list(tmp_path.iterdir())


def test_all_together_keep_to_the_limit(tmp_path: Path) -> None:
    """Who comes later has what is left; what was kept already is not over the limit for it."""
    kept = KeptCases(tmp_path, limit_bytes=30 * BLOCK)
    first = place(kept)
    assert 28 * BLOCK <= first.limit_bytes <= 30 * BLOCK
    second = place(kept, B)
    assert 15 * BLOCK <= second.limit_bytes <= 20 * BLOCK
    (second.folder / "b.case").write_bytes(bytes(40 * BLOCK))
    again = place(kept)
    assert 10 * BLOCK <= again.limit_bytes <= 12 * BLOCK


def test_without_room_or_disk_a_trainer_goes_without(tmp_path: Path) -> None:
    """0 turns it off; a disk that refuses costs time alone."""
    asked = {"plan_digest": Digest("p"), "dataset": "d", "withdrawn": ()}
    assert KeptCases(tmp_path, limit_bytes=0).place(A, **asked) is None
    (tmp_path / "file").touch()
    assert KeptCases(tmp_path / "file").place(A, **asked) is None


@pytest.fixture
def own_folder() -> Iterator[Path]:
    """Return a folder of somebody whom modes keep out: root they do not."""
    with closed.own_folder() as folder:
        yield folder


def fill(folder: Path, size_bytes: int) -> None:
    """Let a file of a folder take so much of the disk."""
    with (folder / "junk").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, size_bytes)


def test_no_plan_lifts_its_own_limit_by_what_it_writes(tmp_path: Path) -> None:
    """A little more is not granted; much more is gone, and others have their share."""
    limit = 2 * KEPT_MARGIN_BYTES
    kept = KeptCases(tmp_path, limit_bytes=limit)
    folder = place(kept).folder
    fill(folder, limit + BLOCK * 100)
    for _ in range(2):
        again = place(kept)
        assert again.limit_bytes <= limit
    assert (folder / "junk").is_file()
    fill(folder, limit + 2 * KEPT_MARGIN_BYTES)
    other = place(kept, B)
    assert other.limit_bytes == limit
    assert not folder.exists()
    fill(place(kept).folder, limit + 2 * KEPT_MARGIN_BYTES)
    assert 0 < place(kept).limit_bytes < limit
    assert not (folder / "junk").exists()
    assert (other.folder / "a.case").is_file()


def test_a_folder_that_hides_what_it_holds_is_begun_anew(own_folder: Path) -> None:
    """By whom it belongs to, and by others: it is no reason to grant all, or nothing."""
    kept = KeptCases(own_folder / "cases", limit_bytes=30 * BLOCK)
    for asks in (A, B):
        folder = place(kept).folder
        (folder / "deep" / "deeper").mkdir(parents=True)
        (folder / "deep" / "deeper" / "x").touch()
        (folder / "deep" / "deeper").chmod(0)
        (folder / "deep").chmod(0)
        assert place(kept, asks).limit_bytes == 30 * BLOCK
        assert not (folder / "deep").exists()


def test_a_folder_that_is_closed_by_its_mode_is_removed(own_folder: Path) -> None:
    """With what a link in it leads to left as it is."""
    (own_folder / "outside").mkdir(mode=0o500)
    kept = KeptCases(own_folder / "cases")
    folder = place(kept).folder
    (folder / "link").symlink_to(own_folder / "outside")
    (folder / "deep").mkdir()
    (folder / "deep" / "x").touch()
    (folder / "deep").chmod(0)
    folder.chmod(0)
    kept.end_experiment(A)
    assert not list((own_folder / "cases").iterdir())
    assert (own_folder / "outside").stat().st_mode & 0o777 == 0o500


@pytest.mark.parametrize("odd", ["../a", "a/b", "", ".."])
def test_an_id_that_is_no_name_has_no_folder(tmp_path: Path, odd: str) -> None:
    """Nothing outside is made or removed, whatever an experiment is called."""
    (tmp_path / "a").mkdir()
    kept = KeptCases(tmp_path / "cases")
    found = kept.place(ExperimentId(odd), plan_digest=Digest("p"), dataset="d", withdrawn=())
    kept.end_experiment(ExperimentId(odd))
    assert found is None
    assert (tmp_path / "a").is_dir()
