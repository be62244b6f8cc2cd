"""Task, Tokenizer and Chat in a real Chromium: what is on the screen is what Python says, for everybody."""

import contextlib
import io
import json
import re
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
AXE = ROOT / "web" / "node_modules" / "axe-core" / "axe.min.js"
PATIENCE = 120_000  # milliseconds: a worker imports torch on a busy machine

VIEWS = {
    "task": "?at=places&data=labels/places.jsonl&part=all&example=0",
    "tokenizer": "?at=corpus-tokens&with=model:headstart-mini"
    "&text=The <s> unbelievable <script>alert(1)</script>",
    "chat": "?at=talker&temperature=0&max_tokens=12",
}
READY = {"task": "[data-label]", "tokenizer": "[data-back] .quoted", "chat": "[data-message]"}


@pytest.fixture
def page(browser, address):
    """A page that has entered; its errors, and its requests to elsewhere, fail the test."""
    base, token = address
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    page = context.new_page()
    troubles: list[str] = []
    page.on("console", lambda said: troubles.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on(
        "request",
        lambda asked: None if asked.url.startswith((base, "data:", "blob:")) else troubles.append(asked.url),
    )
    page.goto(f"{base}/?token={token}")
    yield page
    context.close()
    assert troubles == []


def go(page, address, view: str, more: str = "") -> None:
    page.goto(f"{address[0]}/#{view}{VIEWS[view]}{more}")
    page.wait_for_selector(READY[view], timeout=PATIENCE)


def until(page, true: str, seconds: float = 60) -> None:
    """Wait for an expression; playwright's own way evaluates strings, which the page's policy forbids."""
    deadline = time.monotonic() + seconds
    while not page.evaluate(true):
        assert time.monotonic() < deadline, f"{true} did not come true"
        time.sleep(0.05)


def printed(page) -> str:
    """What the view's own Python lines print."""
    code = page.locator("[data-python]").first.text_content()
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(code, "shown", "exec"), {})
    return out.getvalue().removesuffix("\n")


def alone_of(page, browser, tmp_path, ready: str):
    """The view as one file, opened where there is no network; and what went wrong there."""
    with page.expect_download(timeout=PATIENCE) as download:
        page.get_by_role("button", name="Export").click()
    file = tmp_path / "view.html"
    download.value.save_as(file)
    alone = browser.new_context(viewport={"width": 1280, "height": 900}, offline=True).new_page()
    troubles: list[str] = []
    alone.on("console", lambda said: troubles.append(said.text) if said.type == "error" else None)
    alone.on("pageerror", lambda error: troubles.append(str(error)))
    alone.on("request", lambda asked: troubles.append(asked.url) if asked.url.startswith("http") else None)
    alone.goto(file.as_uri())
    alone.wait_for_selector(ready, timeout=120_000)
    return alone, troubles


def test_a_task_is_scored_as_python_does_and_corrected_by_keys(
    page, address, labelled_root, browser, tmp_path
) -> None:
    """Hostile texts and labels stay text; a label is corrected, exported and taken back without a pointer."""
    go(page, address, "task")
    said = page.locator("[data-summary]").text_content()
    found = re.search(r"accuracy is ([\d.]+)", said)
    assert found, said
    assert float(found[1]) == pytest.approx(100 * float(printed(page)), abs=0.06)
    assert "no test" in said, "these are examples that it has learned from"
    assert "<script>" in page.locator(".list").text_content()
    assert not page.locator("main script, main img, main .list i b").count()
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("w")
    page.wait_for_selector("[data-worth]", timeout=PATIENCE)
    data = labelled_root / "labels" / "places.jsonl"
    before = data.read_bytes()
    page.keyboard.press("2")
    page.keyboard.press("1")
    page.wait_for_selector("[data-corrections] li", timeout=PATIENCE)
    kept = data.with_name("places.jsonl.corrections")
    assert json.loads(kept.read_text())["corrections"][0]["line"] == 1
    page.locator("[data-corrections] form input").first.fill("labels/browser.jsonl")
    page.keyboard.press("Enter")
    page.wait_for_selector("[data-exported]", timeout=PATIENCE)
    assert (labelled_root / "labels" / "browser.jsonl").exists()
    assert page.get_by_role("button", name="Retrain").count()
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("u")
    until(page, "!document.querySelector('[data-corrections] li')")
    assert data.read_bytes() == before
    assert not kept.exists()
    (labelled_root / "labels" / "browser.jsonl").unlink()
    # A cell, by the arrows; then a word, scored on its own.
    page.locator("[data-cell='0 0']").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.dataset.cell") == "1 1"
    page.keyboard.press("Enter")
    until(page, "document.querySelector('#list-title').textContent.includes(' of ')")
    page.locator("[data-word]").fill("number 1")
    page.keyboard.press("Enter")
    page.wait_for_selector("[data-selected]", timeout=PATIENCE)
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("Escape")
    page.keyboard.press("n")
    alone, troubles = alone_of(page, browser, tmp_path, "[data-place]")
    assert alone.locator("[data-summary]").text_content() == said
    alone.locator("[data-cell='0 0']").click()
    assert " of " in alone.locator("#list-title").text_content()
    assert not alone.locator("[data-label]").count(), "a page alone corrects nothing"
    assert troubles == []


def test_a_task_with_damaged_data_says_so(browser, address, labelled_root) -> None:
    page = browser.new_page()
    page.goto(f"{address[0]}/?token={address[1]}")
    wrong = labelled_root / "labels" / "wrong.jsonl"
    wrong.write_text('{"text": "a", "lab', encoding="utf-8")
    try:
        page.goto(f"{address[0]}/#task?at=places&data=labels/wrong.jsonl")
        page.wait_for_selector("main [role=alert]", timeout=PATIENCE)
        assert "wrong.jsonl" in page.get_by_role("alert").text_content()
    finally:
        wrong.unlink()
        page.close()


def test_tokens_are_pythons_and_merges_are_taken_away_by_keys(page, address, browser, tmp_path) -> None:
    """What was typed stays text; the sentence's count is Python's; two tokenizers, a corpus, a vocabulary."""
    go(page, address, "tokenizer")
    said = page.locator("[data-summary]").text_content()
    count = int(re.search(r"This text is (\d+) tokens", said)[1])
    assert count == int(printed(page))
    assert page.locator("[aria-label='Tokens of corpus-tokens'] button").count() == count
    assert "comes back letter by letter" in said
    assert "“<s>” in your text is plain text" in page.locator("[data-typed]").first.text_content()
    assert not page.locator("main script").count()
    page.evaluate("document.activeElement.blur()")
    for _ in range(4):
        page.keyboard.press("j")
    fewer = page.locator("[aria-label='Tokens of corpus-tokens'] button").count()
    assert fewer > count, "without its last merges the text is more tokens"
    page.keyboard.press("Escape")
    page.locator("[data-token='1']").first.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_selector("[data-chosen]")
    page.locator("[data-search]").fill("the")
    page.keyboard.press("Enter")
    until(page, "document.querySelectorAll('.entries li').length < 100")
    assert all("the" in one for one in page.locator(".entries .entry").all_text_contents())
    assert "tokens of the training text" in page.locator("[aria-labelledby=vocabulary-title]").text_content()
    page.locator("[data-compare]").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("[data-compared]", timeout=PATIENCE)
    alone, troubles = alone_of(page, browser, tmp_path, "[data-back] .quoted")
    assert alone.locator("[data-summary]").text_content() == said
    alone.locator("[data-merges]").fill("3")
    alone.wait_for_selector("text=the first")
    assert troubles == []


def test_a_talk_is_pythons_and_branches_by_keys(page, address, labelled_root, browser, tmp_path) -> None:
    """Said, looked at, branched, kept and exported without a pointer; what was typed stays text."""
    go(page, address, "chat")
    page.locator("[data-system]").fill("Answer <b>briefly</b>.")
    page.locator("[data-message]").fill("Who waits <script>alert(1)</script> at the <s> harbour?")
    page.keyboard.press("Enter")
    page.wait_for_selector("[data-talk] .token", timeout=PATIENCE)
    until(page, "!document.querySelector('[data-stop]') && document.querySelector('[data-rendered] .reads')")
    text = "".join(page.locator("[data-talk] .token").all_text_contents())
    assert text.strip() == printed(page).strip()
    assert not page.locator("main script").count()
    assert page.locator(".reads .special").first.text_content() == "<s>"
    page.locator("[data-talk] .token[tabindex='0']").first.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_selector("[data-alternatives] li")
    at = int(page.evaluate("document.activeElement.dataset.at").split()[1])
    page.keyboard.press("2")
    page.wait_for_selector("[data-talk] .ways", timeout=PATIENCE)
    until(page, "!document.querySelector('[data-stop]')")
    branched = page.locator("[data-talk] .token").all_text_contents()
    assert "".join(branched[:at]) == "".join(text)[: len("".join(branched[:at]))]
    assert page.locator("[data-talk] .token.given").count() == at + 1
    page.get_by_role("button", name="Keep this one").press("Enter")
    page.locator("[data-save] input").fill("browser-talks.jsonl")
    page.keyboard.press("Enter")
    page.wait_for_selector("[data-saved]", timeout=120_000)
    saved = json.loads((labelled_root / "browser-talks.jsonl").read_text())["messages"]
    assert [turn["role"] for turn in saved] == ["system", "user", "assistant"]
    (labelled_root / "browser-talks.jsonl").unlink()
    said = page.locator("[data-summary]").text_content()
    alone, troubles = alone_of(page, browser, tmp_path, "[data-talk] .token")
    assert alone.locator("[data-talk] .token").all_text_contents() == branched
    assert alone.locator("[data-summary]").text_content() == said
    assert not alone.locator("[data-message], [data-save]").count(), "a page alone talks to nobody"
    assert troubles == []


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("view", VIEWS)
def test_everybody_can_use_the_tools(browser, address, view, theme) -> None:
    """No violation that axe finds, nothing wider than the screen, at two widths; motion is off if asked."""
    base, token = address
    context = browser.new_context(color_scheme=theme, reduced_motion="reduce", bypass_csp=True)
    page = context.new_page()
    page.goto(f"{base}/?token={token}")
    for width in (360, 1600):
        page.set_viewport_size({"width": width, "height": 900})
        go(page, address, view)
        time.sleep(0.3)
        wider = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wider <= 0, f"{view} overflows by {wider} px at {width} px"
        page.evaluate(AXE.read_text(encoding="utf-8"))
        tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
        found = page.evaluate("tags => axe.run({runOnly: tags})", tags)["violations"]
        said = [(one["id"], one["nodes"][0]["target"], one["nodes"][0]["failureSummary"]) for one in found]
        assert said == [], f"{view} at {width} px: {said}"
    context.close()
