"""The lesson in a real Chromium, on a machine that has nothing: every view opens on the sample, and every
step of every chapter is done, by keys alone, and says then what it reads off the view.
"""

import json
import shutil
import time
from collections.abc import Callable
from typing import Any

import pytest
from conftest import listening
from view_pages import AXE, PATIENCE, opened, printed, until

from headstart.studio.app import SAMPLE
from headstart.studio.verdicts import verdicts
from headstart.training.metrics import Metrics

pytestmark = pytest.mark.skipif(not SAMPLE.is_dir(), reason="the sample is not here: make sample")

# What each view shows once it has opened, without an address, on the sample.
VIEWS = {
    "lesson": ".claims li", "home": "[data-sample] li", "corpus": "[data-ready]", "run": "[data-ready] .word",
    "generation": ".ribbon .next", "masking": ".slots li", "meaning": "svg circle", "block": ".box",
    "scaling": ".plane .law", "head-start": "[data-bargain]", "duel": "[data-worth]",
    "task": "[data-place]", "tokenizer": "[data-summary] b", "chat": "[data-talk]",
}  # fmt: skip
SEEN = "document.querySelector('[data-see].done')?.textContent"


@pytest.fixture(scope="module")
def nothing(tmp_path_factory):
    """A folder that has nothing."""
    return tmp_path_factory.mktemp("nothing")


@pytest.fixture(scope="module")
def address(nothing):
    """A studio over it."""
    with listening(nothing) as found:
        yield found


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_opens_on_the_sample(page, address, view) -> None:
    opened(page, address, view, VIEWS[view])
    assert page.locator("[role=alert]").count() == 0
    if view not in ("lesson", "home", "scaling"):
        opened_at = page.evaluate("decodeURIComponent(location.hash)")
        assert "at=sample:" in opened_at or "at=model:headstart-mini" in opened_at


def test_verdicts_on_the_page_are_what_python_counts(page, address) -> None:
    measured = {one.claim for one in verdicts()}
    for chapter in (4, 1):  # one with verdicts, and one with few
        opened(page, address, f"lesson?chapter={chapter}", ".claims li")
        count, supported, *_ = (int(number) for number in printed(page).split())
        said = page.locator("[aria-labelledby=claims-title] [data-summary]").text_content()
        assert f"measured {count}: " in said
        assert not supported or f"{supported} supported" in said
        claims = page.locator(".claims .mono").all_text_contents()
        assert page.locator(".chip.open").count() == len(set(claims) - measured)


def test_chapters_and_steps_are_walked_by_keys(page, address) -> None:
    """The place is in the address: a chapter, then its steps in the views, then the next chapter."""
    opened(page, address, "lesson?chapter=9", ".claims li")
    page.keyboard.press("ArrowRight")
    until(page, "document.querySelector('h1').textContent == 'How it all hangs together'")
    page.keyboard.press("j")
    until(page, "location.hash.includes('lesson=10.1')")
    until(page, SEEN)
    page.keyboard.press("j")
    until(page, "location.hash.includes('lesson=10.2')")
    page.keyboard.press("J")
    until(page, "location.hash.includes('lesson=10.1')")
    page.keyboard.press("J")
    until(page, "location.hash == '#lesson?chapter=9'")
    opened(page, address, "block?preset=bert-large&lesson=10.1", "[data-see]")
    page.get_by_label("Leave the lesson").press("Enter")
    until(page, "!document.querySelector('[data-see]') && !location.hash.includes('lesson=')")


def test_no_key_is_lost_before_the_browser_tells_of_an_address(page, address) -> None:
    """Two keys within one task of the page are two steps, and the view before takes neither."""
    opened(page, address, "lesson?chapter=10", ".claims li")
    pressed = """async keys => {
        for (const key of keys) {
            document.body.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true}))
            for (let turn = 0; turn < 5; turn++) await null  // the page draws, and no event comes
        }
        return location.hash
    }"""
    assert "lesson=10.2" in page.evaluate(pressed, ["j", "j"])
    assert "lesson=10.3" in page.evaluate(pressed, ["J", "j", "j"])
    until(page, SEEN)


def press(*keys: str) -> Callable[[Any], None]:
    """Keys, one after another, each when the view has drawn what the one before did."""

    def do(page) -> None:
        for key in keys:
            page.keyboard.press(key)
            time.sleep(0.15)

    return do


def on(selector: str, *keys: str) -> Callable[[Any], None]:
    """Keys on a part that has the focus."""

    def do(page) -> None:
        page.wait_for_selector(selector, timeout=PATIENCE)
        for key in keys:
            page.locator(selector).first.press(key)
            time.sleep(0.15)

    return do


def writing(selector: str, text: str) -> Callable[[Any], None]:
    """A text in a field, and Enter."""

    def do(page) -> None:
        page.locator(selector).fill(text)
        page.locator(selector).press("Enter")

    return do


def tokens(page) -> None:
    for count in range(1, 4):
        until(page, "!document.querySelector('[data-next]').disabled")
        page.keyboard.press("n")
        until(page, f"document.querySelectorAll('.ribbon .token:not(.given):not(.next)').length == {count}")


def choose(selector: str, index: int) -> Callable[[Any], None]:
    """An option of a list."""
    return lambda page: page.locator(selector).first.select_option(index=index)


def fork(page) -> None:
    press("2")(page)
    page.wait_for_selector(".node.here")
    press("Backspace")(page)
    page.wait_for_selector(".node:not(.here)")
    press("3")(page)


def share(page) -> None:
    page.locator("[data-share]").press("Home")
    page.locator("[data-do]").press("Enter")


def labelled(name: str, *keys: str) -> Callable[[Any], None]:
    """Keys on the control of a label."""
    return on(f"label:has-text('{name}') input", *keys)


POINTS, GAPS, TEXT, STEP = "svg circle", ".slots li", ".ribbon .next", "[data-ready] .word"
STEPS: dict[str, tuple[str, Callable[[Any], None], str]] = {
    # Place: what the view shows before anything is done, what is done, what is said then.
    "1.1": ("[data-bargain]", on("[aria-labelledby=plane-title] svg", "ArrowLeft"), r"labels of author, .+"),
    "1.2": ("[data-bargain]", press("t"), r"Each on its own: every task pays"),
    "1.3": ("[data-bargain]", on("[data-tasks]", "ArrowRight"), r"\d+ tasks, .* a label: "),
    "2.1": (POINTS, press(), r"In the embedding two sentences lie [\d.]+.* apart"),
    "2.2": (POINTS, press("l", "l", "l"), r"After layer 3 two sentences lie [\d.]+ apart"),
    "2.3": (POINTS, on("[role=application]", "ArrowRight"), r"Nearest to it: “….+…”"),
    "2.4": (POINTS, writing("[data-own]", "A rusty spring lay on the bench."), r"Your sentence has landed"),
    "2.5": (POINTS, writing("[data-word]", "bank"), r"“bank” stands in \d+ sentences"),
    "3.1": (GAPS, press(*"sssss"), r"One more step shows what the truth costs"),
    "3.2": (GAPS, on(".rows button >> nth=2", "Enter"), r"Now \d+ of \d+ tokens are chosen"),
    "3.3": (GAPS, labelled("Share hidden", *["ArrowRight"] * 6), r"% hidden a gap costs [\d.]+ bits"),
    "3.4": (GAPS, press("i"), r"Each token was taken away in turn"),
    "3.5": (GAPS, on(".scrubber input", "End"), r"A gap cost [\d.]+ bits; now it costs [\d.]+"),
    "4.1": (TEXT, tokens, r"The text has grown by 3 tokens"),
    "4.2": (TEXT, on("[aria-label=Heads] button >> nth=1", "Enter"), r"layer 1, head 2: every row ends"),
    "4.3": (TEXT, labelled("Temperature", *["ArrowRight"] * 14), r"gave its likeliest token [\d.]+ %"),
    "4.4": (TEXT, labelled("Temperature", "Home"), r"always taken, although the model is [\d.]+ bits unsure"),
    "4.5": (TEXT, fork, r"The tree holds 2 tries"),
    "4.6": (TEXT, on("[aria-label='Open layer 1']", "Enter"), r"The row has \d+ keys"),
    "5.1": ("[data-worth]", on("[data-task=classification]", "Enter"), r"You chose telling classes\. "),
    "5.2": ("[data-worth]", on("[data-right]", "Home"), r"Nothing is left on the right\. What stands"),
    "5.3": ("[data-worth]", choose("[aria-labelledby=example-title] select", 3), r": \d+ examples?"),
    "5.4": ("[data-worth]", writing("[data-own]", "It was the [best] of times."), r"All three have answered"),
    "6.1": ("[data-ready]", on("[aria-label=Stages] [aria-pressed=true]", "ArrowRight"), r"You are at: .+"),
    "6.2": ("[data-recount]", labelled("switch this rule off", " "), r"With this threshold about [\d,]+ of"),
    "6.3": ("[data-mix]", on("#weight-factbook", "End"), r"tokens\) come from .+ of different text"),
    "6.4": ("[data-ready]", on("button:has-text('Any token')", "Enter"), r"Found: .+"),
    "7.1": (".plane .law", on(".slider input", "End"), r"With 1.*e27 operations .+ wants .+ parameters"),
    "7.2": (".plane .law", choose(".controls select", 2), r".+ wants .+ tokens a parameter here, .+ wants"),
    "7.3": (".plane .law", on("[aria-label=Models] button:has-text('llama-3')", "Enter"), r"It spent "),
    "8.1": (STEP, press(*"." * 10), r"You have followed one step to its end"),
    "8.2": (STEP, press(), r"Before its first step the model was [\d.]+ nats unsure"),
    "8.3": (STEP, labelled("Captured step", "Home"), r"Now you see step 1\b"),
    "9.1": ("#part-title", press("ArrowRight"), r"You opened: "),
    "9.2": (".caches", press("k"), r"With \d+ key-value heads? one text takes [\d.]+ \w+ of cache"),
    "9.3": ("[data-shift]", on("[data-shift]", "ArrowRight"), r"Query at \d+, key at \d+: the score is"),
    "9.4": ("#part-title", share, r"the held-out loss changes from [\d.]+ to [\d.]+ nats"),
    "10.1": (".box", press(), r"BERT-Large: 33\dM parameters in 24 blocks"),
    "10.2": (".box", press(), r"GPT-3: 17\dB parameters in 96 blocks"),
    "10.3": (".box", press(), r"Llama 3: 40\dB parameters in 126 blocks"),
}  # fmt: skip


SILENT_BEFORE = {"2.3", "6.4", "9.4"}
"""Steps that read an answer which is not there before it is asked for."""


@pytest.mark.parametrize("place", STEPS)
def test_a_step_is_done_and_said(page, address, place) -> None:
    """Each is entered from its chapter's page, so that it opens what the lesson opens."""
    ready, do, said = STEPS[place]
    chapter, step = place.split(".")
    opened(page, address, f"lesson?chapter={chapter}", ".claims li")
    page.get_by_label(f"Go to step {step}", exact=True).press("Enter")
    page.wait_for_selector(ready, timeout=PATIENCE)
    page.wait_for_selector(".lit", state="attached", timeout=PATIENCE)
    if place not in SILENT_BEFORE:
        page.wait_for_selector("[data-see=reads]", timeout=PATIENCE)
    do(page)
    until(page, f"new RegExp({json.dumps(said)}).test({SEEN} ?? '')", 45)


def test_a_training_is_started_in_its_step(page, address, nothing, monkeypatch) -> None:
    """Step 8.4. A job of before does not count; what the form asks for is what is started."""
    kept = nothing / ".studio" / "jobs"
    kept.mkdir(parents=True)
    before = {
        "id": "0",
        "verb": "pretrain",
        "arguments": [],
        "out": "before",
        "pid": 0,
        "began": "",
        "started": 0,
    }
    (kept / "0.json").write_text(json.dumps(before))
    monkeypatch.setattr("headstart.studio.jobs.sys.executable", shutil.which("true"))
    opened(page, address, "lesson?chapter=8", ".claims li")
    page.get_by_label("Go to step 4", exact=True).press("Enter")
    page.wait_for_selector(".jobs .name", timeout=PATIENCE)
    page.wait_for_selector(".lit", timeout=PATIENCE)
    page.wait_for_selector("[data-see=reads]", timeout=PATIENCE)
    assert not page.evaluate(SEEN)
    page.locator("label:has(span:text-is('Start')) select").select_option("pretrain")
    page.get_by_label("Steps", exact=True).fill("2")
    page.get_by_role("button", name="Start", exact=True).press("Enter")
    until(page, f"({SEEN} ?? '').includes('pretrain → pretrain-1 is a job of yours')")
    (job,) = (json.loads(file.read_text()) for file in kept.glob("*.json") if file.stem != "0")
    assert {"steps=2", f"tokens={SAMPLE / 'tokens'}"} <= set(job["arguments"])
    shutil.rmtree(nothing / ".studio")


def test_a_run_at_work_is_steered_in_its_step(page, address, nothing) -> None:
    """Step 8.5. It waits until a run is at work, and opens then."""
    opened(page, address, "lesson?chapter=8", ".claims li")
    page.get_by_label("Go to step 5", exact=True).press("Enter")
    page.wait_for_selector("text=it needs a run that is at work", timeout=PATIENCE)
    run = nothing / "living"
    run.mkdir()
    for name in ("recipe.yaml", "run.json"):
        shutil.copy(SAMPLE / "decoder" / name, run / name)
    metrics = Metrics(run, 0, sinks=())
    try:
        metrics.write("step", 1, loss=9.0, tokens=10, learning_rate=0.001)
        page.wait_for_selector("[data-steering]", timeout=120_000)
        assert "at=living" in page.evaluate("location.hash")
        on("[data-steering] input", "ArrowRight", "ArrowRight")(page)
        page.get_by_role("button", name="Set", exact=True).press("Enter")
        until(page, f"({SEEN} ?? '').includes('asked to take another rate')")
        (asked,) = json.loads((run / "control.json").read_text())
        assert asked["action"] == "scale_learning_rate"
        assert 1 < asked["factor"] < 2
    finally:
        metrics.close()
        shutil.rmtree(run)


def test_a_step_begins_anew(page, address) -> None:
    """The view opens in the step's first state again, and what was done before is not done any more."""
    opened(page, address, "lesson?chapter=9", ".claims li")
    page.get_by_label("Go to step 3", exact=True).press("Enter")
    page.wait_for_selector("[data-shift]", timeout=PATIENCE)
    page.wait_for_selector("[data-see=reads]", timeout=PATIENCE)
    first = page.locator("[data-shift]").input_value()
    on("[data-shift]", "ArrowRight")(page)
    until(page, f"({SEEN} ?? '').includes('Query at')")
    page.get_by_role("button", name="Begin anew").press("Enter")
    until(page, f"!({SEEN}) && document.querySelector('[data-shift]')?.value == {json.dumps(first)}")


def test_no_view_is_cut_off_in_the_navigation(page, address) -> None:
    """Down to a small tablet every name is whole; on a telephone they scroll to the one that is shown."""
    opened(page, address, "chat", "h1")
    cut = """Array.from(document.querySelectorAll('header nav a'), one => one.getBoundingClientRect())
        .filter(one => one.left < 0 || one.right > document.documentElement.clientWidth).length"""
    for width in (640, 768, 1024, 1120, 1280, 1440, 1520, 1920):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate(cut) == 0, f"{width} px"
        nav = page.locator("header nav").evaluate("nav => nav.scrollWidth - nav.clientWidth")
        assert nav <= 0, f"{width} px"
    page.set_viewport_size({"width": 360, "height": 800})
    opened(page, address, "scaling", "h1")
    until(page, "document.querySelector('header nav [aria-current]')?.textContent == 'Scaling'")
    until(
        page,
        """(one => one.left >= 0 && one.right <= innerWidth)(
        document.querySelector('header nav [aria-current]').getBoundingClientRect())""",
    )


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("view", ["lesson?chapter=8", "block?preset=bert-large&lesson=10.1", "home"])
def test_everybody_can_take_the_lesson(browser, address, view, theme) -> None:
    """No violation that axe finds, nothing wider than the screen, from a telephone to a wide screen."""
    context = browser.new_context(color_scheme=theme, reduced_motion="reduce", bypass_csp=True)
    page = context.new_page()
    page.goto(f"{address[0]}/?token={address[1]}")
    ready = {"l": ".claims li", "b": ".see.done", "h": "[data-sample] li"}[view[0]]
    for width in (360, 1600):
        page.set_viewport_size({"width": width, "height": 900})
        opened(page, address, view, ready)
        time.sleep(0.3)
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        page.evaluate(AXE.read_text(encoding="utf-8"))
        tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
        found = page.evaluate("tags => axe.run({runOnly: tags})", tags)["violations"]
        assert [(one["id"], one["nodes"][0]["failureSummary"]) for one in found] == [], (
            f"{view} at {width} px"
        )
    context.close()


def test_a_folder_that_is_not_there_is_said(page, address) -> None:
    """The view opens another one, and says so until the reader chooses."""
    opened(page, address, "generation?at=sample:decoder", ".ribbon .next")
    assert page.locator(".instead").count() == 0
    opened(page, address, "generation?at=deleted/run", ".instead")
    page.wait_for_selector(".ribbon .next", timeout=PATIENCE)
    said = page.locator(".instead").text_content()
    assert "nothing at “deleted/run”" in said
    assert "shows “headstart-mini-decoder” instead" in said
    page.locator(".picker select").first.select_option("sample:decoder")
    until(page, "!document.querySelector('.instead')")


@pytest.mark.parametrize("view", ["scaling?c=abc&use=x", "generation?temperature=hot", "masking?rate=7"])
def test_nonsense_in_an_address_stops_no_view(page, address, view) -> None:
    opened(page, address, view, VIEWS[view.split("?")[0]])
    assert page.locator("[role=alert]").count() == 0
    assert "NaN" not in page.locator("main").text_content()
