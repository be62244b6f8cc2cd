"""The Duel view: board and gaps are what Python says; context is hidden by keys; unfinished, damaged."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from view_pages import AXE, PATIENCE, opened, printed, until

from headstart.evaluation.duel_result import ANSWERS, RESULT, read_duel, shown_examples
from headstart.evaluation.gaps import gap_logprobs
from headstart.studio import frames
from headstart.training.restore import load_any

API = "/api/v1"
NAMES = ["encoder", "decoder", "encoder-decoder"]


@pytest.fixture(scope="module")
def fought(studio_root) -> Path:
    """The studio's folder with a tiny duel, one that is half done, and one that is damaged."""
    from headstart.evaluation.duel import DuelRecipe, duel
    from headstart.training import run_folder

    labels = studio_root / "duel-labels.jsonl"
    rows = [{"text": f"{'buy cheap' if n % 2 else 'see you at'} {n}", "label": f"{n % 2}"} for n in range(90)]
    labels.write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = DuelRecipe(
        layers=2, width=32, heads=4, feedforward_width=96, context=64, rows=4, steps=4, labelled=40,
        finetune_steps=2, examples=12,
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_folder, "describe_machine", lambda: {})
        duel(studio_root / "tokens", labels, studio_root / "duel", recipe)
    for name in ("duel-begun", "duel-damaged"):
        (studio_root / name).mkdir()
        shutil.copy(studio_root / "duel" / RESULT, studio_root / name / RESULT)
        shutil.copytree(studio_root / "duel" / ANSWERS, studio_root / name / ANSWERS)
    begun = read_duel(studio_root / "duel-begun")
    for task in begun["tasks"]:
        task["cells"], task["pairs"] = task["cells"][:1], []
    begun["models"] = begun["models"][:1]
    (studio_root / "duel-begun" / RESULT).write_text(json.dumps(begun))
    (studio_root / "duel-damaged" / RESULT).write_bytes(b'{"tokens": "x", "models"')
    yield studio_root
    for name in ("duel", "duel-begun", "duel-damaged"):
        shutil.rmtree(studio_root / name)
    labels.unlink()


def test_the_board_and_a_gap_are_the_products(studio, fought) -> None:
    found = studio.get(f"{API}/duel", params={"at": "duel"}).json()
    assert found["duel"] == read_duel(fought / "duel")
    assert found["at"] == {name: f"duel/{name}" for name in NAMES}
    examples = studio.get(f"{API}/duel/examples", params={"at": "duel", "task": "gaps"}).json()["examples"]
    assert examples == shown_examples(fought / "duel", "gaps")
    one = examples[0]["example"]
    whole = {"ids": one["ids"], "place": one["place"], "left": 60, "right": 60}
    for name in NAMES:
        answer = studio.post(f"{API}/duel/gap", json={"at": found["at"][name], **whole})
        fields, tensors = frames.decode(answer.content)
        kept = examples[0]["answers"][name]
        assert fields["guesses"][0] == kept["said"]
        assert fields["truth_bits"] == pytest.approx(kept["truth_bits"], abs=0.01)
        left, right = one["place"], len(one["ids"]) - 1 - one["place"]
        assert (len(tensors["by_left"]), len(tensors["by_right"])) == (left + 1, right + 1)
        loaded = load_any(fought / "duel" / name)
        chances = gap_logprobs(loaded, one["ids"], one["place"], [(60, 3)])[0]
        bits = -float(chances[one["ids"][one["place"]]]) / torch.log(torch.tensor(2.0))
        assert tensors["by_right"][3] == pytest.approx(float(bits), abs=1e-3)
    text = {"at": "duel/encoder", "text": "It was a dark night.", "start": 9}
    fields, _ = frames.decode(studio.post(f"{API}/duel/text", json=text).content)
    assert "".join(fields["texts"][: fields["place"]]).strip() == "It was a"
    for body, said in (
        ({"at": "duel/encoder", "ids": [5, 6], "place": 2, "left": 1, "right": 1}, "not in this text"),
        ({"at": "duel/encoder", "ids": [10**6], "place": 0, "left": 1, "right": 1}, "own vocabulary"),
    ):
        assert said in studio.post(f"{API}/duel/gap", json=body).json()["error"]["message"]
    kinds = {one["at"]: one["kind"] for one in studio.get(f"{API}/folders").json()}
    assert kinds["duel"] == "duel"
    assert RESULT in studio.get(f"{API}/duel", params={"at": "duel-damaged"}).json()["error"]["message"]


def test_scores_and_answers_on_the_screen_are_pythons(page, address, fought) -> None:
    """Context is hidden, tasks and examples are changed by keys alone."""
    opened(page, address, "duel?at=duel&task=gaps", "[data-worth]")
    pairs = printed(page, page.locator("section").first).splitlines()
    label = page.locator("svg[role=img][aria-label*=less]").get_attribute("aria-label")
    shown = [float(found.replace("−", "-")) for found in re.findall(r"less [^:]+: ([−\d.]+) points", label)]
    printed_ = [100 * float(re.search(r"filled ([+-][\d.]+)", line)[1]) for line in pairs]
    assert shown == pytest.approx(printed_, abs=0.06)

    def same() -> None:
        until(page, "!document.querySelector('.card.stale')")
        for line in printed(page, page.locator("section").nth(1)).splitlines():
            name, rest = line.split(" ", 1)
            bits = page.locator(f"[data-seer={name}] .bits b").text_content()
            assert float(bits.split()[0]) == pytest.approx(float(rest.rsplit(" ", 1)[1]), rel=0.01)

    same()
    before = {name: page.locator(f"[data-seer={name}] .bits").text_content() for name in NAMES}
    page.locator("[data-right]").focus()
    page.keyboard.press("Home")
    until(page, "document.querySelector('[data-right]').value == '0'")
    until(
        page,
        f"document.querySelector('[data-seer=encoder] .bits').textContent != {json.dumps(before['encoder'])}",
    )
    same()
    assert page.locator("[data-seer=decoder] .bits").text_content() == before["decoder"]
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("u")
    until(
        page,
        f"document.querySelector('[data-seer=encoder] .bits').textContent == {json.dumps(before['encoder'])}",
    )
    page.locator("[data-own]").fill("It was the [best] of times, it was the worst of times.")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=Your sentence")
    until(page, "document.querySelector('.gap').textContent.length > 0")
    page.locator("[data-task=gaps]").focus()
    page.keyboard.press("ArrowDown")
    page.wait_for_selector("text=At writing on, on the same examples")
    assert "writes none" in page.locator("[data-task=writing]").text_content()


def test_one_that_is_damaged_or_not_done_is_said(browser, address, fought) -> None:
    base, token = address
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{base}/?token={token}")
    opened(page, address, "duel?at=duel-begun&task=gaps", "[data-summary]")
    page.wait_for_selector("text=1 of 3 models are there")
    assert page.locator("text=still to come").count() >= 2
    shutil.copy(fought / "duel-damaged" / RESULT, fought / "duel-begun" / RESULT)
    page.wait_for_selector("[role=alert]", timeout=120_000)
    assert "duel.json" in page.locator("[role=alert]").text_content()
    context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_everybody_can_follow_it(browser, address, fought, theme) -> None:
    base, token = address
    context = browser.new_context(color_scheme=theme, reduced_motion="reduce", bypass_csp=True)
    page = context.new_page()
    page.goto(f"{base}/?token={token}")
    for width in (360, 1600):
        page.set_viewport_size({"width": width, "height": 900})
        opened(page, address, "duel?at=duel&task=gaps", "[data-worth]")
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, width
        page.evaluate(AXE.read_text(encoding="utf-8"))
        tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
        found = page.evaluate("tags => axe.run({runOnly: tags})", tags)["violations"]
        assert [
            (one["id"], one["nodes"][0]["target"], one["nodes"][0]["failureSummary"]) for one in found
        ] == []
    context.close()


def test_the_exported_duel_still_hides_context(page, address, fought, browser, tmp_path) -> None:
    opened(page, address, "duel?at=duel&task=gaps", "[data-worth]")
    with page.expect_download(timeout=PATIENCE) as saved:
        page.get_by_role("button", name="Export").click()
    file = tmp_path / "view.html"
    saved.value.save_as(file)
    context = browser.new_context()
    alone, asked = context.new_page(), []
    alone.on(
        "request", lambda one: asked.append(one.url) if not one.url.startswith(("file:", "data:")) else None
    )
    alone.goto(file.as_uri())
    alone.wait_for_selector("[data-worth]", timeout=PATIENCE)
    before = alone.locator("[data-seer=encoder] .bits").text_content()
    alone.locator("[data-right]").focus()
    alone.keyboard.press("ArrowLeft")
    until(alone, f"document.querySelector('[data-seer=encoder] .bits').textContent != {json.dumps(before)}")
    assert alone.locator("[role=alert]").count() == 0
    assert asked == []
    context.close()
