"""The studio in a real Chromium: what is on the screen is what Python says, and anybody can use it.

Skipped with a reason where there is no Chromium or the pages were not built; under HEADSTART_BROWSER=required
that is a failure.
"""

import json
import re
import shutil
import time

import pytest
from view_pages import AXE, PATIENCE, printed, until

from headstart.page.numbers import amount, significant, size
from headstart.training.metrics import Metrics

VIEWS = {
    "home": "", "generation": "?at=run", "run": "?at=run", "scaling": "?c=21", "masking": "?at=masked",
    "block": "?at=run", "corpus": "?at=corpus&name=short",
    "meaning": "?at=model:headstart-mini&corpus=none&word=spring",
}  # fmt: skip
READY = {
    "home": ".groups li",
    "generation": ".ribbon .next",
    "run": "[data-ready] .word",
    "scaling": ".plane .law",
    "masking": ".slots li",
    "block": ".box",
    "corpus": "[data-way]",
    "meaning": "svg circle",
}


def go(page, address, view: str, more: str = "") -> None:
    page.goto(f"{address[0]}/#{view}{VIEWS[view]}{more}")
    page.wait_for_selector(READY[view], timeout=PATIENCE)


def test_twelve_tokens_are_what_python_generates(page, address) -> None:
    go(page, address, "generation")
    ended = "document.querySelector('.ribbon').textContent.includes('the text has ended')"
    for _ in range(12):
        # The button is disabled while a token is computed, too: only the page's own word ends the text.
        until(page, f"!document.querySelector('[data-next]').disabled || {ended}")
        if page.evaluate(ended):
            break
        before = page.locator(".ribbon .token").count()
        page.keyboard.press("n")
        until(page, f"document.querySelectorAll('.ribbon .token').length != {before}")
    shown = page.locator(".ribbon li button:not(.given):not(.next)").all_text_contents()
    text = "".join(shown).replace("·", " ").replace("⏎", "\n")
    assert text
    assert text.strip() == printed(page).strip()


def test_the_sentence_says_the_entropy_of_the_next_token(page, address, studio_root) -> None:
    import torch

    from headstart.training.restore import load_any

    go(page, address, "generation")
    said = page.locator("[data-summary]").text_content()
    loaded = load_any(studio_root / "run")
    from headstart.generation.config import GenerationConfig, ModelIds
    from headstart.generation.sampling import constrain
    from headstart.generation.text import opened

    ids = opened(loaded.tokenizer, loaded.tokenizer.encode("It was a"))
    with torch.no_grad():
        logits = loaded.model.logits(loaded.model(torch.tensor([ids]))[:, -1]).float()
    allowed = constrain(logits, [ids], [[]], GenerationConfig.of(loaded), ModelIds.of(loaded), 99)[0]
    chances = allowed.double().softmax(-1)
    bits = float(-(chances * chances.clamp(min=1e-300).log2()).sum())
    found = re.search(r"the model is ([\d.]+) bits unsure", said)
    assert found, said
    assert float(found[1]) == pytest.approx(bits, rel=0.01)


def test_a_way_can_be_left_and_found_again_by_keys_alone(page, address) -> None:
    go(page, address, "generation")
    page.keyboard.press("2")
    page.wait_for_selector(".node.here")
    page.keyboard.press("Backspace")
    page.wait_for_selector(".node:not(.here)")
    page.keyboard.press("3")
    until(page, "document.querySelectorAll('.node').length == 2")
    page.keyboard.press("g")
    page.keyboard.press("h")
    page.wait_for_selector(READY["home"], timeout=PATIENCE)
    page.keyboard.press("/")
    page.keyboard.type("generation: run")
    page.keyboard.press("Enter")
    page.wait_for_selector(READY["generation"], timeout=PATIENCE)


def test_how_a_row_came_about_opens_in_place(page, address) -> None:
    go(page, address, "generation")
    page.locator("[aria-label='Layer 2, head 3']").first.click()
    page.wait_for_selector(".story tbody tr", timeout=PATIENCE)
    shares = page.locator(".story .weight").all_text_contents()
    total = sum(float(share.replace("%", "").strip()) for share in shares)
    assert total == pytest.approx(100, abs=1)


def test_the_last_loss_and_the_strip_are_those_of_the_files(page, address, studio_root) -> None:
    go(page, address, "run")
    said = page.locator("[data-summary]").text_content()
    assert f"the loss of its last step is {float(printed(page)):.3f} nats" in said
    captured = json.loads((studio_root / "run" / "captures" / "step-000005" / "capture.json").read_text())
    mean = page.locator(".step .mean").text_content()
    assert float(mean.split()[1]) == pytest.approx(captured["loss"], rel=1e-3)
    page.keyboard.press(".")
    assert "A row of the step's batch" in page.locator(".told").text_content()


def test_the_optimum_on_the_screen_is_the_laws(page, address) -> None:
    go(page, address, "scaling")
    parameters, tokens, loss = (float(number) for number in printed(page).split())
    said = page.locator("[data-summary]").text_content()
    for shown in (amount(parameters), amount(tokens), significant(loss)):
        assert shown in said, (shown, said)


def test_guesses_on_the_screen_are_the_models(page, address) -> None:
    """The likeliest token of every gap is what Python prints; fates, gaps and worth are had by keys alone."""
    go(page, address, "masking")

    def first() -> list[str]:
        return [one.split(";")[0].strip() for one in page.locator(".slots > li .guess").all_text_contents()]

    def same() -> None:
        said = [one.replace(" ", "·").replace("\n", "⏎") or "∅" for one in printed(page).split("|")]
        assert [one[:13] for one in said] == [one.rstrip("…")[:13] for one in first()]

    same()
    row = page.locator(".rows button").nth(2)
    before = row.text_content()
    row.focus()
    page.keyboard.press("Enter")
    until(page, f"document.querySelectorAll('.rows button')[2].textContent != {json.dumps(before)}")
    until(page, "!document.querySelector('.picture.stale')")
    same()
    page.keyboard.press("d")
    until(page, "document.querySelector('input[type=number]').value == '1'")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("s")
    assert "1 of 6" in page.locator(".told").text_content()
    for stage in range(2, 7):
        page.keyboard.press("s")
        told = page.locator(".told").text_content()
        assert (f"{stage} of 6" in told) == (stage < 6)
    page.keyboard.press("i")
    page.wait_for_selector("[data-agreement]", timeout=PATIENCE)
    page.locator(".worth svg").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    assert "bits" in page.locator(".worth svg").get_attribute("aria-label")


def test_the_diagram_is_the_model_and_heads_are_shared(page, address) -> None:
    """The sum of the parts is what Python counts; parts, shift and shared heads are had by keys alone."""
    go(page, address, "block")
    count = int(printed(page).replace(",", ""))
    until(page, f"document.querySelector('[data-summary]').textContent.includes({json.dumps(amount(count))})")
    page.wait_for_selector("#part-title")
    page.evaluate("document.activeElement.blur()")
    before = page.locator("#part-title").text_content()
    page.keyboard.press("ArrowRight")
    until(page, f"document.querySelector('#part-title').textContent != {json.dumps(before)}")
    score = page.locator("[data-score]").text_content()
    page.locator("[data-shift]").focus()
    page.keyboard.press("End")
    assert "Query at 209" in page.locator("section", has=page.locator("[data-score]")).text_content()
    assert page.locator("[data-score]").text_content() == score
    page.locator("[data-share]").focus()
    page.keyboard.press("Home")
    page.locator("[data-do]").press("Enter")
    page.wait_for_selector("[data-outcome]", timeout=PATIENCE)
    said = re.search(r"from ([\d.]+) to ([\d.]+) nats", page.locator("[data-outcome]").text_content())
    assert said
    assert float(said[1]) > 1


def test_what_stays_of_the_corpus_is_the_manifests(page, address) -> None:
    go(page, address, "corpus")
    documents, size_, words = (int(number) for number in printed(page).split())
    said = page.locator("[data-summary]").text_content()
    for shown in (f"{documents:,} documents", size(size_), f"{amount(words)} words"):
        assert shown in said, (shown, said)


def test_a_moved_threshold_recounts_at_once(page, address, corpus_root) -> None:
    """As they ran, the rules keep what the report says; switched off, a rule keeps what fell by it alone."""
    go(page, address, "corpus")
    quality = json.loads((corpus_root / "corpus" / "report.json").read_text())["quality"]
    judged, broken = quality["judged"], quality["any"]["documents"]
    said = page.locator("[data-recount]").text_content()
    assert f"about {judged - broken:,} of {judged:,}" in said, said
    rule = max(quality["rules"], key=lambda one: one["alone"])
    page.get_by_role("toolbar", name="Rules").get_by_text(rule["rule"], exact=True).click()
    page.get_by_label("switch this rule off").check()
    said = page.locator("[data-recount]").text_content()
    assert f"about {judged - broken + rule['alone']:,} of {judged:,}" in said, said
    assert f"rules.{rule['rule']}=off" in page.locator("[aria-labelledby=rules-title] pre").text_content()


def test_a_mix_is_dealt_out_as_the_product_does(page, address, corpus_root) -> None:
    from headstart.corpus.mix import rebalanced

    go(page, address, "corpus")
    plan = json.loads((corpus_root / "corpus" / "manifest.json").read_text())["mix"]
    page.locator("#weight-austen").fill("90")
    weights = {name: round(100 * row["share"]) for name, row in plan.items()} | {"austen": 90}
    most = {name: 4.0 * row["available"] for name, row in plan.items()}
    targets = rebalanced(weights, most, sum(row["chosen"] for row in plan.values()))
    epochs = significant(targets["austen"] / plan["austen"]["available"])
    assert f"{epochs} ×" in page.locator("[aria-labelledby=mix-title] .grid").text_content()


def test_the_stages_are_walked_and_a_document_followed_by_keys(page, address) -> None:
    go(page, address, "corpus")
    page.locator("[aria-label=Stages] button[aria-pressed=true]").focus()
    before = page.locator("[aria-label=Stages] button[aria-pressed=true] .stage").text_content()
    page.keyboard.press("ArrowRight")
    assert page.locator("[aria-label=Stages] button[aria-pressed=true] .stage").text_content() != before
    assert "quality" in page.locator("[data-way] .ended").text_content()
    page.get_by_role("button", name="Any token").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("[data-token]", timeout=120_000)
    page.wait_for_selector("[data-way] .fate.kept", timeout=120_000)
    assert not page.locator("main script").count()


def test_how_far_meanings_lie_apart_is_what_python_says(page, address) -> None:
    """On the model that comes with headstart, with sentences of the page; by keys alone."""
    go(page, address, "meaning")
    said = page.locator("[data-summary]").text_content()
    found = re.search(r"two of them lie ([\d.]+) apart", said)
    assert found, said
    assert float(found[1]) == pytest.approx(float(printed(page)), rel=0.03)
    page.locator("[data-layer]").focus()
    page.keyboard.press("Home")
    until(page, "document.querySelector('[data-summary]').textContent.includes('In the embedding')")
    places = page.locator("svg circle").evaluate_all(
        "all => new Set(all.map(one => one.getAttribute('cx'))).size"
    )
    assert places == 1
    page.keyboard.press("End")
    page.locator("[role=application]").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_selector(".sentence mark")
    count = page.locator("svg circle").count()
    page.locator("[data-own]").fill("A rusty spring lay on the bench.")
    page.keyboard.press("Enter")
    until(page, f"document.querySelectorAll('svg circle').length == {count + 1}")
    assert page.locator("circle.own").count() == 1


def test_a_living_run_grows_and_is_steered(page, address, studio_root) -> None:
    """Events come as they are written; what is asked for stands in the run's control file."""
    run = studio_root / "living"
    run.mkdir()
    shutil.copy(studio_root / "run" / "recipe.yaml", run / "recipe.yaml")
    shutil.copy(studio_root / "run" / "run.json", run / "run.json")
    metrics = Metrics(run, 0, sinks=())
    metrics.write("step", 1, loss=9.0, tokens=10, learning_rate=0.001)
    try:
        page.goto(f"{address[0]}/#run?at=living")
        page.wait_for_selector("[data-steering]", timeout=PATIENCE)
        for step in range(2, 30):
            metrics.write("step", step, loss=9.0 / step, tokens=10 * step, learning_rate=0.001)
        until(page, "document.querySelector('[data-summary]').textContent.includes('29')")
        assert "0.3103" in page.locator("[data-summary]").text_content()
        page.get_by_role("button", name="Pause").click()
        page.wait_for_selector("text=is asked for")
        assert json.loads((run / "control.json").read_text())[0]["action"] == "pause"
        metrics.write("control", 29, action="pause")
        page.get_by_role("button", name="Resume").wait_for(timeout=120_000)
        metrics.write("end", 29)
        page.wait_for_selector("text=finished", timeout=120_000)
    finally:
        metrics.close()
        shutil.rmtree(run)


def test_a_folder_that_is_deleted_while_shown_is_a_sentence(browser, address, studio_root) -> None:
    """And shows again, once it is back and asked for."""
    gone = studio_root / "gone"
    shutil.copytree(studio_root / "run", gone)
    context = browser.new_context()
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"{address[0]}/?token={address[1]}")
    page.goto(f"{address[0]}/#run?at=gone")
    page.wait_for_selector(READY["run"], timeout=PATIENCE)
    shutil.rmtree(gone)
    page.get_by_role("alert").wait_for(timeout=120_000)
    assert "There is nothing at 'gone'" in page.get_by_role("alert").text_content()
    shutil.copytree(studio_root / "run", gone)
    try:
        page.get_by_role("alert").get_by_role("button").click()
        page.get_by_role("alert").wait_for(state="detached", timeout=120_000)
        page.wait_for_selector(READY["run"])
        assert errors == []
    finally:
        shutil.rmtree(gone)
        context.close()


def test_two_browsers_at_once_have_a_text_each(browser, address) -> None:
    contexts = [browser.new_context() for _ in range(2)]
    pages = [context.new_page() for context in contexts]
    for page, prompt in zip(pages, ("It was a", "The captain and"), strict=True):
        page.goto(f"{address[0]}/?token={address[1]}")
        page.goto(f"{address[0]}/#generation?at=run&prompt={prompt}")
    for page in pages:
        page.wait_for_selector(READY["generation"], timeout=PATIENCE)
    counts = [page.locator(".ribbon .token").count() for page in pages]
    for added in (1, 2, 3):
        for page in pages:
            page.keyboard.press("2")  # both wait for the one worker at once
        for page, count in zip(pages, counts, strict=True):
            until(page, f"document.querySelectorAll('.ribbon .token').length == {count + added}")
    for page in pages:  # the younger page has asked less often
        page.locator("[aria-label='Layer 2, head 3']").first.click()
        page.wait_for_selector(".story tbody tr", timeout=PATIENCE)
        page.keyboard.press("Escape")
    for page, context in zip(pages, contexts, strict=True):
        assert not page.get_by_role("alert").count()
        context.close()


def test_hostile_names_stay_text(browser, address, studio_root) -> None:
    """Of a folder, and of a family; neither runs, and neither takes a view with it."""
    hostile = studio_root / "<img src=x onerror=alert(1)>"
    hostile.mkdir()
    (hostile / "config.json").write_text('{"model_type": "<script>alert(2)</script>"}')
    (hostile / "model.safetensors").write_bytes(b"")
    context = browser.new_context()
    page = context.new_page()
    try:
        page.goto(f"{address[0]}/?token={address[1]}")
        page.wait_for_selector(f"text={hostile.name}", timeout=120_000)
        assert "<script>alert(2)</script>" in page.locator(".groups").text_content()
        assert not page.locator("main img, main script").count()
        page.goto(f"{address[0]}/#block?at={hostile.name.replace(' ', '%20')}")
        page.get_by_role("alert").wait_for(timeout=PATIENCE)
    finally:
        context.close()
        shutil.rmtree(hostile)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("view", VIEWS)
def test_everybody_can_use_it(browser, address, view, theme) -> None:
    """No violation that axe finds, nothing wider than the screen, at three widths; motion is off if asked."""
    base, token = address
    context = browser.new_context(color_scheme=theme, reduced_motion="reduce", bypass_csp=True)
    page = context.new_page()
    page.goto(f"{base}/?token={token}")
    for width in (360, 768, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        go(page, address, view)
        time.sleep(0.3)
        wider = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wider <= 0, f"{view} overflows by {wider} px at {width} px"
        page.evaluate(AXE.read_text(encoding="utf-8"))
        tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
        found = page.evaluate("tags => axe.run({runOnly: tags})", tags)["violations"]
        said = [(one["id"], one["nodes"][0]["target"], one["nodes"][0]["failureSummary"]) for one in found]
        assert said == [], f"{view} at {width} px"
    context.close()
