"""The page of a check in a real browser, without a network: it is all there, and it fits."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from fedmq.imaging.cases import Case
from fedmq.imaging.findings import Finding
from fedmq.imaging.report.page import CheckPage
from tests.support.browser import find_chromium
from tests.support.whole_body import whole_body

pytestmark = pytest.mark.browser

LONG = "a-very-long-name-of-a-case-without-any-place-to-break-" * 3


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Return Chromium."""
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(
            executable_path=find_chromium(), args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield made
        made.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
def test_the_page_shows_its_pictures_and_fits(
    browser: Browser, tmp_path: Path, width: int, scheme: str
) -> None:
    """Nothing is blocked by its own policy, nothing is asked for, nothing stands out sideways."""
    place = tmp_path / "page.html"
    with CheckPage(place, "lung") as page:
        gap = Finding(case_id=LONG, code="gap", text="slices are missing")
        page.add(Case(case_id="A", volumes={}, clinical={}), whole_body(), [])
        page.add(Case(case_id=LONG, volumes={}, clinical={}), {}, [gap])
        page.finish(made_at="now")
    context = browser.new_context(
        offline=True,
        color_scheme="dark" if scheme == "dark" else "light",
        viewport={"width": width, "height": 800},
    )
    opened = context.new_page()
    said: list[str] = []
    asked: list[str] = []
    opened.on("console", lambda message: said.append(message.text))
    opened.on("request", lambda request: asked.append(request.url.partition(":")[0]))
    opened.goto(place.as_uri())
    assert said == []
    assert set(asked) <= {"file", "data"}
    pictures = "[...document.images].map(one => one.complete && one.naturalWidth > 50)"
    assert opened.evaluate(pictures) == [True, True]
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
    paper, ink = (
        opened.evaluate(f"getComputedStyle(document.body).{name}.match(/\\d+/g).map(Number)")
        for name in ("backgroundColor", "color")
    )
    assert (sum(paper) < sum(ink)) is (scheme == "dark")
    assert abs(sum(paper) - sum(ink)) > 300
    opened.get_by_role("link", name="A", exact=True).first.click()
    assert opened.url.endswith("#case-1")
    context.close()
