"""A dataset whose files are links, as archives make them, shown to a contained trainer."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fedmq.errors import TrainingError
from tests.support.contained_site import EACH_VARIANT, VARIANTS, Site, done

pytestmark = [pytest.mark.xdist_group("hostile")]
"""One after the other: what bounds the processes of a node's plans counts those of other nodes."""


@pytest.fixture(params=EACH_VARIANT)
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """Return a site whose containment has these means, where the machine has them."""
    place = Site(tmp_path, VARIANTS[request.param])
    yield place
    place.close()


def test_links_lead_inside_a_cell_where_they_do_outside(site: Site) -> None:
    """Up and down again, by way of a linked folder: the same bits."""
    site.start(limit_bytes=0)
    done(site.run())
    before = site.trained
    (archive := site.folder / "archive").mkdir()
    (site.folder / "beside" / "here").mkdir(parents=True)
    (site.folder / "shelf").mkdir()
    (site.folder / "shelf" / "last").symlink_to("../archive")
    first, second, third, _ = sorted(site.cases.iterdir())[:4]
    up_and_down = site.folder / "beside" / "here" / ".." / ".." / "archive"
    for case, way in ((first, Path("../../archive")), (second, up_and_down)):
        for file in case.iterdir():
            place = file.rename(archive / f"{case.name}-{file.name}")
            file.symlink_to(way / place.name)
    third.rename(archive / third.name)
    third.symlink_to(Path("..", "shelf", "last", third.name))
    site.start(limit_bytes=0)
    done(site.run())
    assert site.trained == before


def test_a_link_in_a_circle_stops_no_round(site: Site) -> None:
    """A node that was asked to begin ended with it, at each start."""
    site.start(limit_bytes=0)
    done(site.run())
    before = site.trained
    (min(site.cases.iterdir()) / "again.nii.gz").symlink_to("again.nii.gz")
    site.start(limit_bytes=0)
    done(site.run())
    assert site.trained == before


def test_a_link_that_a_cell_cannot_have_is_refused(site: Site) -> None:
    """Up from a linked folder: it is no file that is missing, and the operator is told."""
    (archive := site.folder / "far" / "archive").mkdir(parents=True)
    (site.folder / "linked").symlink_to(archive)
    case = min(site.cases.iterdir())
    case.rename(site.folder / "far" / case.name)
    case.symlink_to(site.folder / "linked" / ".." / case.name)
    assert case.is_dir()
    site.start()
    with pytest.raises(TrainingError, match="a link in it goes up"):
        site.run()
