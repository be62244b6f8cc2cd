"""`headstart studio export`: a view of a folder as one file, which opens offline and lacks nothing."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from view_pages import until

from headstart.errors import HeadstartError
from headstart.studio.one_file import written
from headstart.studio.opening import OPENINGS

PATIENCE = 120_000
FOLDERS = {
    "block": "run", "corpus": "corpus", "generation": "run", "masking": "masked", "run": "run",
    "scaling": "sweep",
}  # fmt: skip
READY = {
    "block": "#part-title", "corpus": ".river", "generation": ".ribbon .next", "masking": ".slots li",
    "run": "[data-ready] .word", "scaling": "[data-told]",
}  # fmt: skip

SLIDERS = {
    "block": "[data-shift]", "corpus": "main input[type=range]", "generation": ".scrubber input",
    "masking": ".scrubber input", "run": ".sliders input[type=range]", "scaling": "main input[type=range]",
}  # fmt: skip


def test_every_opening_is_opened_here() -> None:
    assert set(FOLDERS) == set(OPENINGS)


def test_what_no_folder_opens_is_said(tmp_path) -> None:
    with pytest.raises(HeadstartError, match="did you mean 'corpus'"):
        written("corpse", tmp_path, tmp_path / "x.html")
    with pytest.raises(HeadstartError, match="there is no folder"):
        written("corpus", tmp_path / "none", tmp_path / "x.html")
    with pytest.raises(HeadstartError):
        written("run", tmp_path, tmp_path / "x.html")
    assert not (tmp_path / "x.html").exists()


def test_a_model_that_comes_with_headstart_is_shown_by_its_name(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    written("block", Path("headstart-mini"), tmp_path / "x.html")
    assert "headstart-mini" in (tmp_path / "x.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("view", FOLDERS)
def test_a_view_of_a_folder_opens_alone(browser, corpus_root, masked_run, sweep, tmp_path, view) -> None:
    """It asks for nothing that it does not hold, and its first slider moves what it says."""
    file = tmp_path / "view.html"
    with ThreadPoolExecutor(1) as aside:  # the browser's own loop runs in this thread
        aside.submit(written, view, corpus_root / FOLDERS[view], file).result()
    context = browser.new_context(offline=True, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    troubles: list[str] = []
    page.on("console", lambda said: troubles.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("request", lambda asked: troubles.append(asked.url) if asked.url.startswith("http") else None)
    page.goto(file.as_uri())
    page.wait_for_selector(READY[view], timeout=PATIENCE)
    said = page.locator("[data-summary]").text_content().strip()
    assert said
    slider = page.locator(SLIDERS[view]).first
    slider.focus()
    page.keyboard.press("Home")
    if view == "scaling":
        until(page, f"document.querySelector('[data-summary]').textContent.trim() != {json.dumps(said)}")
    page.wait_for_timeout(400)  # whatever it asks for by then is not there, and would be said
    assert not page.get_by_text("holds what was looked at when it was exported").count()
    assert not page.get_by_role("alert").count()
    assert troubles == []
    context.close()
