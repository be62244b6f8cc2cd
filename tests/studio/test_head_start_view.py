"""The Head start view: points and costs as the files have them; in the browser, by keys, and damaged."""

import json
import re
import shutil
from pathlib import Path
from statistics import mean

import orjson
import pytest
from view_pages import AXE, PATIENCE, opened, printed, until

from headstart.tasks.finetuning.head_start_points import ABOUT, FITS, POINTS
from headstart.training.metrics import Metrics

API = "/api/v1"
SCORES = {"fine-tuned": (0.80, 0.89, 0.95), "from-scratch": (0.61, 0.72, 0.90), "tf-idf": (0.7, 0.85, 0.93)}
COUNTS = (20, 100, 500)


def measured(folder: Path, model: Path, data: Path) -> None:
    """A folder as `headstart head-start` leaves it: three seeds, a state of the run, the course of a fit."""
    folder.mkdir()
    points = []
    for system, scores in SCORES.items():
        for count, score in zip(COUNTS, scores, strict=True):
            for seed in range(3):
                points.append({
                    "task": "mails", "metric": "accuracy", "labels": count, "asked": count, "system": system,
                    "seed": seed, "score": score + 0.01 * (seed - 1) * (system != "tf-idf"), "n": 200,
                    "interval": [0, 1], "seconds": 2.0 + count / 100, "test_examples": 200, "facts": {},
                })  # fmt: skip
    points += [point | {"step": 4, "score": point["score"] - 0.05} for point in points[:9]]
    (folder / POINTS).write_bytes(b"".join(orjson.dumps(point) + b"\n" for point in points))
    about = {
        "model": str(model), "data": str(data), "systems": list(SCORES), "fits": len(points),
        "tasks": [{"task": "mails", "kind": "classification", "train_examples": 900, "test_examples": 200}],
        "pretraining": {"seconds": 300.0, "core_seconds": 360_000.0, "tokens": 4000, "steps": 8},
        "tokens_at": {"4": 2000},
    }  # fmt: skip
    (folder / ABOUT).write_text(json.dumps(about))
    metrics = Metrics(folder / FITS / "mails-20-0-fine-tuned", 0, sinks=())
    for step in range(1, 9):
        metrics.write("step", step, seconds=0.1 * step, loss=1 / step)
    metrics.write("evaluation", 8, seconds=0.8, score=0.79, metric="accuracy", targets=120)
    metrics.write("end", 8, seconds=0.9, score=0.8)
    metrics.close()


@pytest.fixture(scope="module")
def head_start_root(studio_root):
    """The studio's folder with a measurement, a damaged one, and one that has just begun."""
    data = studio_root / "mails.jsonl"
    rows = [{"text": f"{'buy cheap' if n % 2 else 'see you at'} {n}", "label": f"{n % 2}"} for n in range(80)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    measured(studio_root / "measured", studio_root / "run", data)
    shutil.copytree(studio_root / "measured", studio_root / "measured-damaged")
    with (studio_root / "measured-damaged" / POINTS).open("ab") as file:
        file.write(b"\x00\x00 no point\n{}\n")
    shutil.copytree(studio_root / "measured", studio_root / "measured-begun")
    (studio_root / "measured-begun" / POINTS).unlink()
    yield studio_root
    for name in ("measured", "measured-damaged", "measured-begun"):
        shutil.rmtree(studio_root / name)
    data.unlink()


def test_points_costs_and_courses_are_the_files(studio, head_start_root) -> None:
    found = studio.get(f"{API}/head-start", params={"at": "measured"}).json()
    rows = [json.loads(line) for line in (head_start_root / "measured" / POINTS).read_text().splitlines()]
    assert [(p["system"], p["score"], p["step"]) for p in found["points"]] == [
        (row["system"], row["score"], row.get("step")) for row in rows
    ]
    assert (found["model"], found["data"], found["damaged"]) == ("run", "mails.jsonl", 0)
    assert found["pretraining"]["core_seconds"] == 360_000
    race = studio.get(f"{API}/head-start/race", params={"at": "measured"}).json()
    (course,) = race["courses"]
    assert race["scores"]["from-scratch"] == rows[17]["score"]
    assert studio.get(f"{API}/head-start/race", params={"at": "races/soon"}).json() == {
        "courses": [],
        "scores": {},
    }
    assert (course["ended"], course["looks"][-1]["score"], len(course["losses"])) == (0.8, 0.79, 8)
    assert studio.get(f"{API}/head-start", params={"at": "measured-damaged"}).json()["damaged"] == 2
    begun = studio.get(f"{API}/head-start", params={"at": "measured-begun"}).json()
    assert (begun["points"], begun["fits"]) == ([], len(rows))
    kinds = {one["at"]: one["kind"] for one in studio.get(f"{API}/folders").json()}
    assert kinds["measured"] == "head-start"
    assert "mails.jsonl" in {one["at"] for one in studio.get(f"{API}/labelled").json()}
    refused = studio.get(f"{API}/head-start", params={"at": "run"})
    assert "headstart head-start" in refused.json()["error"]["message"]
    (head_start_root / "measured-begun" / ABOUT).write_text('{"model": 3}')
    refused = studio.get(f"{API}/head-start", params={"at": "measured-begun"})
    assert (refused.status_code, ABOUT in refused.json()["error"]["message"]) == (400, True)
    shutil.copy(head_start_root / "measured" / ABOUT, head_start_root / "measured-begun" / ABOUT)


def test_what_a_folder_names_outside_is_not_told(studio, head_start_root, tmp_path) -> None:
    about = json.loads((head_start_root / "measured" / ABOUT).read_text())
    (tmp_path / "secret.jsonl").write_text("{}")
    place = head_start_root / "measured-begun" / ABOUT
    place.write_text(json.dumps(about | {"data": str(tmp_path / "secret.jsonl"), "model": "/"}))
    found = studio.get(f"{API}/head-start", params={"at": "measured-begun"}).json()
    assert (found["data"], found["model"]) == (None, None)
    place.write_text(json.dumps(about))


def test_the_scores_and_the_break_even_are_what_python_prints(page, address, head_start_root) -> None:
    """Numbers of labels, the paradigm and the prices are moved by keys alone."""
    opened(page, address, "head-start?at=measured&labels=100", ".way .mean")
    said = page.locator("[data-summary]").text_content()
    shown = [float(number) for number in re.findall(r"scores? ([\d.]+)|weights ([\d.]+)", said)[0] if number]
    own, other = (float(number) for number in printed(page).split())
    assert shown[0] == pytest.approx(own, abs=5e-4)
    assert f"{other:.3f}" in said
    assert own == pytest.approx(mean((0.88, 0.89, 0.90)))
    page.locator("[data-price=core]").focus()
    page.keyboard.press("End")
    bargain = page.locator("[data-bargain]")
    even = float(bargain.locator("[data-even]").get_attribute("data-even"))
    assert even == pytest.approx(float(printed(page, bargain)), rel=1e-9)
    assert even > 1
    page.evaluate("document.activeElement.blur()")
    total = bargain.locator("[data-total=shown]").text_content()
    page.keyboard.press("t")
    until(page, f"document.querySelector('[data-total=shown]').textContent != {json.dumps(total)}")
    page.locator("[role=application]").focus()
    page.keyboard.press("End")
    until(page, "document.querySelector('[data-summary]').textContent.includes('With 500 labels')")
    page.keyboard.press("Home")
    until(page, "document.querySelector('[data-summary]').textContent.includes('With 20 labels')")
    page.get_by_role("button", name="by pre-training").press("Enter")
    page.wait_for_selector("text=tokens read in pre-training")


def test_what_is_damaged_or_has_just_begun_is_said(page, address, head_start_root) -> None:
    opened(page, address, "head-start?at=measured-damaged", ".way .mean")
    assert "2 lines of this folder's points cannot be read" in page.locator("main").text_content()
    opened(page, address, "head-start?at=measured-begun", "[data-summary]")
    page.wait_for_selector("text=No fit is finished yet")
    assert "0 of 36 fits" in page.locator("main").text_content()
    shutil.copy(head_start_root / "measured" / POINTS, head_start_root / "measured-begun" / POINTS)
    page.wait_for_selector(".way .mean", timeout=120_000)
    (head_start_root / "measured-begun" / POINTS).unlink()


def test_both_starts_are_really_raced(page, address, head_start_root) -> None:
    """A job is started from the page; its curves come, and end with the scores of its own points."""
    opened(page, address, "head-start?at=measured", "[data-race]")
    page.get_by_label("Labels", exact=True).fill("40")
    page.get_by_role("button", name="Race").press("Enter")
    until(page, "document.querySelectorAll('[data-race-said] b').length > 0", 240)
    until(page, "document.querySelector('[data-race-said]')?.textContent.includes('one race')", 240)
    (folder,) = (head_start_root / "races").iterdir()
    scores = {p["system"]: p["score"] for p in map(json.loads, (folder / POINTS).read_text().splitlines())}
    assert set(scores) == {"fine-tuned", "from-scratch"}
    said = page.locator("[data-race-said]").text_content()
    assert all(f"{score:.3g}" in said or f"{score:.2f}" in said for score in scores.values()), (said, scores)
    shutil.rmtree(head_start_root / "races")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nobody_is_left_out_of_it(browser, address, head_start_root, theme) -> None:
    base, token = address
    context = browser.new_context(color_scheme=theme, reduced_motion="reduce", bypass_csp=True)
    page = context.new_page()
    page.goto(f"{base}/?token={token}")
    for width in (360, 1600):
        page.set_viewport_size({"width": width, "height": 900})
        opened(page, address, "head-start?at=measured&labels=100", ".way .mean")
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, width
        page.evaluate(AXE.read_text(encoding="utf-8"))
        tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
        found = page.evaluate("tags => axe.run({runOnly: tags})", tags)["violations"]
        assert [
            (one["id"], one["nodes"][0]["target"], one["nodes"][0]["failureSummary"]) for one in found
        ] == []
    context.close()


def test_the_export_has_it_all_without_a_studio(page, address, head_start_root, browser, tmp_path) -> None:
    opened(page, address, "head-start?at=measured&labels=100", ".way .mean")
    with page.expect_download() as saved:
        page.get_by_role("button", name="Export").click()
    file = tmp_path / "view.html"
    saved.value.save_as(file)
    context = browser.new_context()
    alone, asked = context.new_page(), []
    alone.on(
        "request", lambda one: asked.append(one.url) if not one.url.startswith(("file:", "data:")) else None
    )
    alone.goto(file.as_uri())
    alone.wait_for_selector(".way .mean", timeout=PATIENCE)
    assert alone.locator("[data-summary]").text_content() == page.locator("[data-summary]").text_content()
    assert alone.locator("[data-race]").count() == 0
    assert asked == []
    context.close()
