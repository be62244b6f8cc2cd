"""A view as one file: it asks nobody, and shows what it showed, sliders included."""

import json
import re

import pytest
from view_pages import until

PATIENCE = 120_000
API = "/api/v1"


@pytest.fixture
def saved(browser, address, tmp_path):
    """Press Export in a view as it stands, and open the file where there is no network."""
    base, token = address
    contexts = []

    def save(view: str, query: str, ready: str, act=lambda page: None):
        context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
        contexts.append(context)
        page = context.new_page()
        page.goto(f"{base}/?token={token}")
        page.goto(f"{base}/#{view}{query}")
        page.wait_for_selector(ready, timeout=PATIENCE)
        act(page)
        shown = page.locator("[data-summary]").text_content()
        with page.expect_download(timeout=PATIENCE) as download:
            page.get_by_role("button", name="Export").click()
        file = tmp_path / f"{view}.html"
        download.value.save_as(file)
        offline = browser.new_context(viewport={"width": 1280, "height": 900}, offline=True)
        contexts.append(offline)
        alone = offline.new_page()
        troubles: list[str] = []
        alone.on("console", lambda said: troubles.append(said.text) if said.type == "error" else None)
        alone.on("pageerror", lambda error: troubles.append(str(error)))
        alone.on(
            "request", lambda asked: troubles.append(asked.url) if asked.url.startswith("http") else None
        )
        alone.goto(file.as_uri())
        alone.wait_for_selector(ready, timeout=120_000)
        return alone, shown, troubles

    yield save
    for context in contexts:
        context.close()


def test_the_scaling_view_alone_has_its_slider(saved) -> None:
    alone, shown, troubles = saved("scaling", "?c=21", ".plane .law")
    assert alone.locator("[data-summary]").text_content() == shown
    alone.locator("input[type=range]").first.fill("23")
    until(alone, f"document.querySelector('[data-summary]').textContent != {json.dumps(shown)}")
    assert troubles == []


def test_a_corpus_alone_recounts_its_thresholds(saved) -> None:
    alone, shown, troubles = saved("corpus", "?at=corpus&name=short", "[data-way]")
    assert alone.locator("[data-summary]").text_content() == shown
    before = alone.locator("[data-recount]").text_content()
    slider = alone.get_by_label("Threshold of")
    slider.fill("0" if slider.input_value() != "0" else "5")
    alone.get_by_label("switch this rule off").check()
    assert alone.locator("[data-recount]").text_content() != before
    alone.locator("[aria-label=Stages] button").last.click()
    alone.wait_for_selector("article .id")
    assert troubles == []


def test_the_lesson_alone_has_all_its_chapters(saved) -> None:
    """Text and verdicts of every chapter; no step, for the views in which they are done are not there."""
    alone, shown, troubles = saved("lesson", "?chapter=4", ".claims li")
    assert alone.locator("[data-summary]").text_content() == shown
    assert not alone.get_by_role("link", name="Go to step").count()
    alone.keyboard.press("j")
    alone.keyboard.press("ArrowRight")
    alone.wait_for_selector("text=Chapter 5 of 10")
    assert alone.locator(".claims li").count()
    alone.locator("nav button").nth(8).click()
    alone.wait_for_selector("text=Chapter 9 of 10")
    assert troubles == []


def test_a_run_alone_has_every_captured_step(saved) -> None:
    alone, shown, troubles = saved("run", "?at=run", "[data-ready] .word")
    assert alone.locator("[data-summary]").text_content() == shown
    step = alone.locator("#step-title").text_content()
    alone.locator(".sliders input[type=range]").first.fill("0")
    until(alone, f"document.querySelector('#step-title').textContent != {json.dumps(step)}")
    assert not alone.locator("[data-steering]").count(), "a page alone steers nothing"
    assert troubles == []


def test_generation_alone_moves_through_training_time(saved) -> None:
    """The text that was shown, at every state; a token that was never taken is a sentence."""
    alone, shown, troubles = saved("generation", "?at=run", ".ribbon .next")
    assert alone.locator("[data-summary]").text_content() == shown
    scrubber = alone.locator(".scrubber input")
    scrubber.fill("0")
    until(alone, f"document.querySelector('[data-summary]').textContent != {json.dumps(shown)}")
    assert not alone.get_by_role("alert").count()
    alone.keyboard.press("5")
    alone.wait_for_selector("text=holds what was looked at")
    assert troubles == []


def test_an_export_changes_nothing_and_is_closed(studio, studio_root) -> None:
    """What it replays is refused where it would change something; texts cannot end its script."""
    before = sorted(path.name for path in (studio_root / "run").iterdir())
    asked = [
        {"method": "POST", "path": "control", "body": {"at": "run", "action": "pause"}},
        {"method": "POST", "path": "jobs", "body": {"verb": "plan sweep", "out": "x"}},
        {"method": "GET", "path": "folder", "query": {"at": "../"}},
        {"method": "GET", "path": "metrics", "query": {"at": "run", "points": "2000"}},
    ]
    given = {"view": "run", "hash": "#run?at=run&x=</script><script>alert(1)</script>", "asked": asked}
    answer = studio.post(f"{API}/export", json=given)
    assert answer.status_code == 200, answer.text
    assert sorted(path.name for path in (studio_root / "run").iterdir()) == before
    assert not (studio_root / "x").exists()
    page = answer.text
    assert "default-src 'none'" in page
    assert "unsafe" not in page[: page.index("</head>")].split("<style>")[0]
    held = page[page.index('id="kept">') : page.index('<script type="module">')]
    assert held.count("</script>") == 1, "a text cannot end the block of data"
    assert '"path":"control"' not in held
    assert '"path":"jobs"' not in held
    listed = re.search(r'"path":"folders".*?"text":"(.*?)[^\\]"', held)
    assert listed
    assert "tokens" not in listed[1], "folders that the page shows nothing of are not named"
    wrong = {"view": "run", "hash": "", "asked": [{"method": "GET", "path": "../../etc"}]}
    assert studio.post(f"{API}/export", json=wrong).status_code == 422
