"""A site for each test."""

from pathlib import Path

import pytest

from tests.unit.imaging.dicom.archive import Site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Return a site whose archive is empty."""
    made = Site(tmp_path)
    made.archive.mkdir()
    return made
