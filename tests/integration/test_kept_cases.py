"""Trainers keep prepared cases in their cells' own folders: same bits, nobody else's, bounded."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fedmq.learning.trainer_protocol import Broken
from fedmq.node.worker import LOG_NAME
from fedmq.types import ExperimentId
from tests.support.contained_site import EACH_VARIANT, MB, VARIANTS, Site, done

pytestmark = [pytest.mark.xdist_group("hostile")]
"""One after the other: what bounds the processes of a node's plans counts those of other nodes."""


@pytest.fixture(params=EACH_VARIANT)
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """Return a site whose containment has these means, where the machine has them."""
    place = Site(tmp_path, VARIANTS[request.param])
    yield place
    place.close()


def test_the_bits_are_the_same_cold_warm_damaged_and_without(site: Site) -> None:
    """And a case is prepared once, however often its trainer ends."""
    site.start(limit_bytes=0)
    assert done(site.run())["mapped"] == 0
    without = site.trained
    assert not site.kept.exists()
    site.start()
    assert done(site.run())["mapped"] == 4
    cold, files = site.trained, site.files()
    written = [path.stat().st_mtime_ns for path in files]
    assert len(files) == 4
    site.start()
    assert done(site.run())["mapped"] == 4
    warm = site.trained
    assert [path.stat().st_mtime_ns for path in site.files()] == written
    content = bytearray(files[0].read_bytes())
    content[-7] ^= 1
    files[0].write_bytes(content)
    site.start()
    assert done(site.run())["mapped"] == 4
    assert len({without, cold, warm, site.trained}) == 1
    assert len(without) > 12
    site.worker.end_experiment(ExperimentId("e"))
    assert site.files() == []


def test_a_plan_reaches_nothing_that_another_experiment_keeps(site: Site) -> None:
    """Neither to read nor to poison it, the same plan on the same dataset though it is."""
    site.start()
    done(site.run(experiment="first"))
    (folder,) = {path.parent for path in site.files()}
    (folder / "stays").write_bytes(b"as it was")
    before = {path: path.read_bytes() for path in site.kept.rglob("*") if path.is_file()}
    assert done(site.run("reach", experiment="second", others=str(folder)))["did"] == 0
    after = {path: path.read_bytes() for path in site.kept.rglob("*") if path.is_file()}
    assert {path: after[path] for path in before} == before
    assert {path.parent.parent.name for path in after.keys() - before.keys()} == {"second"}


def test_a_plan_that_keeps_more_than_it_may_is_ended(site: Site) -> None:
    """The disk is not its own; what it kept goes with it."""
    site.start(limit_bytes=4 * MB)
    answer = site.run("fill")
    assert isinstance(answer, Broken)
    assert "FEDMQ_CASE_CACHE_MB" in answer.what
    assert not [path for path in site.kept.rglob("*") if path.is_file()]


def test_without_room_it_works_and_says_so_once_in_the_log(site: Site) -> None:
    """What fits is kept."""
    site.start(limit_bytes=80_000)
    assert 1 <= done(site.run())["mapped"] <= 3
    log = (site.folder / "home" / "scratch" / LOG_NAME).read_text()
    assert log.count("the cache keeps no more cases") == 1
