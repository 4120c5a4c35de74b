"""Workers: a process that is killed takes nothing with it but what kills the next one too."""

import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from fedmq.disk import LocalDisk
from fedmq.imaging.dicom import importing
from fedmq.imaging.dicom.importing import Imported, import_archive
from fedmq.imaging.dicom.planning import Choices, Study
from fedmq.imaging.dicom.workers import share_out
from tests.support import dicom
from tests.unit.imaging.dicom.archive import Site, pet

NUM_PATIENTS = 12


def doubled(number: int) -> int:
    """Return twice a number; 3 and 7 are the end of whoever tries."""
    if number in {3, 7}:
        os.kill(os.getpid(), signal.SIGKILL)
    return 2 * number


def test_what_ends_its_process_twice_is_known_and_stops_nobody() -> None:
    """A real signal; everything else is done, once."""
    made = list(share_out(doubled, range(10), 2))
    assert len(made) == 10
    assert dict(made) == {one: None if one in {3, 7} else 2 * one for one in range(10)}


def content(site: Site) -> dict[Path, bytes]:
    """Return all that a dataset holds."""
    return {
        path.relative_to(site.cases): path.read_bytes()
        for path in site.cases.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def undisturbed(site: Site, tmp_path: Path) -> dict[Path, bytes]:
    """Fill the archive; return what an import makes of it that nobody kills."""
    for number in range(NUM_PATIENTS):
        dicom.write(site.archive / f"{number}", *pet(patient=f"patient {number}"))
    other = Site(tmp_path / "other")
    shutil.copytree(site.archive, other.archive)
    other.run()
    shutil.copytree(other.home, site.home)
    return content(other)


def run_and_kill(site: Site, stage: str, at: int) -> Imported:
    """Import with two processes; kill one of them when so many files or cases are done."""
    killed: list[int] = []

    def kill(what: str, done: int, _of: int) -> None:
        if what == stage and done >= at and not killed:
            pid = multiprocessing.active_children()[0].pid
            assert pid is not None
            killed.append(pid)
            os.kill(pid, signal.SIGKILL)

    made = import_archive(
        site.archive, site.cases, LocalDisk(site.home), Choices(), jobs=2, progress=kill
    )
    assert killed
    return made


@pytest.mark.parametrize(("stage", "at"), [("case", 1), ("case", 5)])
def test_a_killed_process_costs_no_case(
    site: Site, undisturbed: dict[Path, bytes], stage: str, at: int
) -> None:
    """What was under way is done again: the dataset is that of an import that nobody disturbed."""
    made = run_and_kill(site, stage, at)
    assert {one.state for one in made.outcomes} == {"written"}
    assert content(site) == undisturbed
    assert {one.state for one in site.run(jobs=2).outcomes} == {"kept"}


def test_a_process_that_is_killed_while_it_reads_costs_no_file(
    site: Site, undisturbed: dict[Path, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every file is read, and in its order."""
    monkeypatch.setattr(importing, "_FILES_AT_ONCE", 1)
    made = run_and_kill(site, "file", 3)
    assert {one.state for one in made.outcomes} == {"written"}
    assert content(site) == undisturbed


Shared = Iterator[tuple[Study, object]]


def test_a_case_that_ends_every_process_is_refused_by_name_and_made_by_the_next_import(
    site: Site, undisturbed: dict[Path, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was imported of it before stays; the others are written."""

    def lacking(do: Callable[[Study], object], things: Sequence[Study], jobs: int) -> Shared:
        for number, thing in enumerate(things):
            ends = isinstance(thing, Study) and number == 4
            yield from [(thing, None)] if ends else share_out(do, [thing], jobs)

    with monkeypatch.context() as patch:
        patch.setattr(importing, "share_out", lacking)
        made = site.run()
    (refused,) = [one for one in made.outcomes if one.state == "refused"]
    assert refused.code == "process_ended"
    assert refused.fix
    assert sum(one.state == "written" for one in made.outcomes) == NUM_PATIENTS - 1
    again = site.run().outcomes
    assert {one.case_id for one in again if one.state == "written"} == {refused.case_id}
    assert {one.state for one in again} == {"kept", "written"}
    cases = {name: held for name, held in content(site).items() if len(name.parts) > 1}
    assert cases == {name: held for name, held in undisturbed.items() if len(name.parts) > 1}
    with monkeypatch.context() as patch:
        patch.setattr(importing, "share_out", lacking)
        made = site.run(Choices(regions=("anew",)))
    assert [one.code for one in made.outcomes if one.state == "refused"] == ["process_ended"]
    assert made.removed == ()
