"""The page: whole or not there, of this site alone, and all that it names is text."""

import os
import re
import weakref
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from fedmq.errors import StorageError
from fedmq.imaging.cases import Case
from fedmq.imaging.findings import Finding
from fedmq.imaging.report.advice import ADVICE, OTHERWISE
from fedmq.imaging.report.page import CheckPage
from fedmq.imaging.volumes import Volume

NASTY = 'O\'Neil <script>alert(1)</script> & "é" \udce9'


class _Document(HTMLParser):
    """The tags of a page, its ids, and where its links lead."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.sources: list[str] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag."""
        self.tags.append(tag)
        if tag not in {"meta", "img", "br", "rect", "line"}:
            self.open.append(tag)
        values = dict(attrs)
        assert not [name for name in values if name.startswith("on") or name == "style"]
        self.ids += [str(values["id"])] if "id" in values else []
        self.links += [str(values["href"])] if "href" in values else []
        self.sources += [str(values["src"])] if "src" in values else []

    def handle_endtag(self, tag: str) -> None:
        """Hold it against the tag that was opened last."""
        if tag not in {"rect", "line"}:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Note a text."""
        self.words += data


def case(case_id: str) -> Case:
    """Return a case of this name."""
    return Case(case_id=case_id, volumes={}, clinical={})


def finding(case_id: str, code: str = "gap") -> Finding:
    """Return something that was found."""
    return Finding(case_id=case_id, code=code, text=f"slices of {NASTY} are missing")


def box() -> dict[str, Volume]:
    """Return a PET, a CT and a mask of two lesions, 60 mm wide."""
    affine = np.diag([4.0, 4.0, 4.0, 1.0])
    mask = np.zeros((15, 15, 15), np.float32)
    mask[2:5, 7, 7] = mask[9:12, 7, 7] = 1.0
    arrays = {"PET": 0.5 + 8.0 * mask, "CT": 40.0 - 1000.0 * (mask[::-1] > 0), "MASK": mask}
    return {
        modality: Volume(array=np.asarray(array, np.float32), affine=affine)
        for modality, array in arrays.items()
    }


def make(place: Path, *case_ids: str, without: tuple[str, ...] = ()) -> str:
    """Return the text of a page of cases of these names; each but the first has a gap."""
    with CheckPage(place, "lung") as page:
        for number, case_id in enumerate(case_ids):
            page.add(case(case_id), box(), [finding(case_id)] if number else [])
        page.finish(made_at="2026-05-03 12:00 UTC", without=without)
    return place.read_text(encoding="utf-8")


def test_a_page_has_summary_oddities_and_each_case_with_pictures_and_numbers(
    tmp_path: Path,
) -> None:
    """Whole as a document; each link leads to a place in it."""
    document = _Document(make(tmp_path / "page.html", "A", "B"))
    assert document.open == []
    assert document.ids == ["case-1", "case-2"]
    assert {link.removeprefix("#") for link in document.links} == {"case-1", "case-2"}
    assert document.tags.count("img") == document.tags.count("svg") == 4
    for words in (
        "It stays on this site",
        "What is odd",
        ADVICE["gap"],
        "with a PET that can be read2",
        "4 x 4 x 4 (2)",
        "findings: gap1",
        "left and right",
        "SUVmax in the mask8.5",
        "lesions2",
        "Dmax, mm28",
    ):
        assert words in document.words, words
    assert document.words.index("What is odd") < document.words.index("The dataset")


def test_nothing_is_loaded_from_anywhere(tmp_path: Path) -> None:
    """No script; pictures are in the page; the policy allows that and its one style."""
    text = make(tmp_path / "page.html", "A")
    document = _Document(text)
    assert not {"script", "link", "iframe", "object", "form"} & set(document.tags)
    assert all(source.startswith("data:image/png;base64,") for source in document.sources)
    assert "http" not in re.sub(r'http-equiv="|base64,[^"]*', "", text)
    assert "@import" not in text
    assert "url(" not in text
    assert "default-src 'none'; img-src data:; style-src 'sha256-" in text


def test_names_of_cases_and_texts_are_no_html(tmp_path: Path) -> None:
    """Whatever a folder is called, bytes that are no Unicode too."""
    document = _Document(make(tmp_path / "page.html", "A", NASTY))
    assert "script" not in document.tags
    assert 'O\'Neil <script>alert(1)</script> & "é"' in document.words


def test_only_the_owner_may_read_it_and_no_other_file_stays(tmp_path: Path) -> None:
    """Also in the place of one that everybody could read."""
    place = tmp_path / "page.html"
    place.write_text("old")
    place.chmod(0o644)
    before = os.umask(0)
    try:
        make(place, "A")
    finally:
        os.umask(before)
    assert place.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [place]


def test_a_case_that_was_withdrawn_while_the_page_was_made_is_not_in_it(tmp_path: Path) -> None:
    """Neither picture, nor number, nor name; links to the others still lead there."""
    document = _Document(make(tmp_path / "page.html", "A", "GONE", "C", without=("GONE",)))
    assert "GONE" not in document.words
    assert document.ids == ["case-1", "case-3"]
    assert {link.removeprefix("#") for link in document.links} == {"case-1", "case-3"}
    assert "cases2" in document.words


def test_who_leaves_in_between_leaves_the_page_that_was_there(tmp_path: Path) -> None:
    """Nothing half-written, no other file."""
    place = tmp_path / "page.html"
    place.write_text("old")
    with CheckPage(place, "lung") as page:
        page.add(case("A"), box(), [])
    assert place.read_text() == "old"
    assert list(tmp_path.iterdir()) == [place]


def test_a_folder_that_is_not_there_is_an_error_with_a_fix(tmp_path: Path) -> None:
    """Before anything is read; it names the file, not the folder."""
    with pytest.raises(StorageError) as caught:
        CheckPage(tmp_path / "patient Doe" / "page.html", "lung")
    assert caught.value.what == "the page page.html cannot be written"
    assert "--html" in caught.value.fix
    assert "Doe" not in str(caught.value)
    (tmp_path / "folder.html").mkdir()
    with CheckPage(tmp_path / "folder.html", "lung") as page, pytest.raises(StorageError):
        page.finish(made_at="")
    assert [one.name for one in tmp_path.iterdir()] == ["folder.html"]


def test_a_case_without_volumes_and_a_page_without_cases_are_pages_too(tmp_path: Path) -> None:
    """They say that there is nothing."""
    with CheckPage(tmp_path / "page.html", "lung") as page:
        page.add(case("A"), {}, [finding("A", "unheard_of")])
        page.finish(made_at="")
    words = _Document((tmp_path / "page.html").read_text()).words
    assert "No volume." in words
    assert OTHERWISE in words
    with CheckPage(tmp_path / "page.html", "lung") as page:
        page.finish(made_at="")
    assert "Nothing was found." in _Document((tmp_path / "page.html").read_text()).words


def test_of_an_unfit_pet_no_features_are_told(tmp_path: Path) -> None:
    """Its numbers are none; large ones are told in full."""
    volumes = box()
    pet = Volume(array=volumes["PET"].array * np.float32(5000), affine=volumes["PET"].affine)
    unfit = Finding(case_id="A", code="implausible_suv", text="Bq/ml", spoils=("PET",))
    with CheckPage(tmp_path / "page.html", "lung") as page:
        page.add(case("A"), volumes | {"PET": pet}, [unfit])
        page.finish(made_at="")
    words = _Document((tmp_path / "page.html").read_text()).words
    assert "SUVmax of the PET42,500" in words
    assert "SUVmax in the mask" not in words


def test_nothing_of_a_case_stays_in_memory_once_it_is_drawn(tmp_path: Path) -> None:
    """Two hundred whole bodies take the memory of one."""
    volumes = box()
    kept = [weakref.ref(volume.array) for volume in volumes.values()]
    with CheckPage(tmp_path / "page.html", "lung") as page:
        page.add(case("A"), volumes, [])
        del volumes
        assert [one() for one in kept] == [None] * 3
        page.finish(made_at="")
