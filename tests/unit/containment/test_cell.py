"""A cell: written down and read, and what every one may read."""

import sys
from pathlib import Path

import fedmq
from fedmq.containment.cell import Cell, Limits, Means, installed_paths, outermost, parse_cell
from tests.support.closed import closed, own_folder


def test_a_cell_is_read_as_it_was_written(tmp_path: Path) -> None:
    """The trainer has it from a file."""
    cell = Cell(
        folder=tmp_path,
        readable=(Path("/data/é"), Path("/archive")),
        means=frozenset({Means.LANDLOCK, Means.SECCOMP}),
        limits=Limits(memory_bytes=5, num_processes=7),
    )
    assert parse_cell(cell.to_json()) == cell


def test_of_folders_in_each_other_the_outer_one_is_kept(tmp_path: Path) -> None:
    """What is not there is left out."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert outermost([tmp_path / "a" / "b", tmp_path / "none", tmp_path / "a"]) == (tmp_path / "a",)


def test_what_is_out_of_reach_is_not_there() -> None:
    """It ended the trainer: on links to a folder that is closed to the node's user."""
    with own_folder() as folder:
        for name in ("open", "secret/deep"):
            (folder / name).mkdir(parents=True)
        with closed(folder / "secret"):
            assert outermost([folder / "open", folder / "secret/deep"]) == (folder / "open",)


def test_a_cell_sees_packages_and_no_home() -> None:
    """Of the checkout the package alone; of prefixes what was installed."""
    paths = installed_paths()
    package = Path(fedmq.__file__).parent
    assert package in paths or set(paths) & set(package.parents)
    assert package.parent not in paths
    for path in ("/", "/etc", "/root", "/home", "/tmp", "/var", "/proc", sys.prefix):  # noqa: S108 - what is hidden
        assert Path(path) not in paths
