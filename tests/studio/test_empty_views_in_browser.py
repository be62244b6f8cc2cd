"""What Head start and Duel show where nothing was measured yet and no sample is there: what starts one."""

import json
import shutil

import pytest
from conftest import listening
from view_pages import PATIENCE, opened, until

from headstart.studio import app

SAMPLE = app.SAMPLE
pytestmark = pytest.mark.skipif(not SAMPLE.is_dir(), reason="the sample is not here: make sample")


@pytest.fixture(scope="module")
def root(tmp_path_factory, tokens):
    """A folder with tokens and labels, and nothing else."""
    root = tmp_path_factory.mktemp("empty")
    shutil.copytree(tokens, root / "tokens")
    rows = [{"text": f"text {number}", "label": f"{number % 2}"} for number in range(20)]
    (root / "spam.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return root


@pytest.fixture(scope="module")
def address(root):
    """A studio over it, on a machine that has no sample."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(app, "SAMPLE", root / "no sample")
        with listening(root) as found:
            yield found


def test_a_head_start_is_raced_where_none_was_measured(page, address) -> None:
    opened(page, address, "head-start", "[data-race]")
    assert "This view needs measured fits" in page.locator("main .empty").text_content()
    until(page, "!document.querySelector('[data-race]').disabled")
    chosen = page.locator("form select").evaluate_all("all => all.map(one => one.selectedOptions[0].text)")
    assert chosen[0] == "headstart-mini"
    assert "spam" in chosen[1]


def test_a_duel_is_started_and_its_board_opens(browser, address, root, monkeypatch) -> None:
    page = browser.new_page()
    page.goto(f"{address[0]}/?token={address[1]}")
    monkeypatch.setattr("headstart.studio.jobs.sys.executable", shutil.which("true"))
    opened(page, address, "duel", "form")
    assert "This view needs a duel" in page.locator("main .empty").text_content()
    page.get_by_label("Labelled texts").select_option("spam.jsonl")
    page.get_by_label("Steps of the encoder").fill("3")
    page.get_by_label("Into").fill("fights/first")
    page.get_by_role("button", name="Let them fight").press("Enter")
    page.wait_for_selector("text=It is at work", timeout=PATIENCE)
    (job,) = (json.loads(file.read_text()) for file in (root / ".studio" / "jobs").glob("*.json"))
    wanted = [str(root / "tokens"), f"--data={root / 'spam.jsonl'}", "steps=3"]
    assert (job["verb"], job["arguments"]) == ("duel", [*wanted, "--out", str(root / "fights" / "first")])
    shutil.copytree(SAMPLE / "duel", root / "fights" / "first", ignore=shutil.ignore_patterns("*coder"))
    page.wait_for_selector("[aria-labelledby=board-title]", timeout=120_000)
    assert "at=fights" in page.evaluate("location.hash")
    page.get_by_role("heading", name="A duel on your own text and labels").wait_for()
    page.close()
