"""The Scaling view: use against training, where models stand, and a sweep as it grows."""

import io
import json
import re

import pytest
from sweep_folder import foretell, law, train

from headstart.folder import write_json
from headstart.page.numbers import amount, significant
from headstart.scaling.fit_report import FORECAST, SCORE

API = "/api/v1"
PATIENCE = 120_000


def test_a_sweep_is_what_its_files_say(studio, sweep, tmp_path) -> None:
    folder, (*grid, final) = sweep
    listed = [one for one in studio.get(f"{API}/folders").json() if one["at"] == "sweep"]
    assert [one["kind"] for one in listed] == ["sweep"]

    def seen() -> dict:
        answer = studio.get(f"{API}/sweep", params={"at": "sweep"})
        assert answer.status_code == 200, answer.text
        return answer.json()

    first = seen()
    assert [run["state"] for run in first["grid"]] == ["finished"] * 2 + ["waiting"] * (len(grid) - 2)
    assert first["final"]["state"] == "waiting"
    assert first["forecast"] is None
    assert first["law"] is None
    train(folder, "grid", grid[2], 0.5)
    assert seen()["grid"][2]["state"] == "running"
    assert len(seen()["grid"][2]["evaluations"]) == 2
    (folder / "grid" / "elsewhere").symlink_to(tmp_path)
    (tmp_path / "metrics.jsonl").write_text("{}\n")
    assert len(seen()["grid"]) == len(grid), "what a link leads to is passed over"
    with (folder / "grid" / grid[0]["name"] / "metrics.jsonl").open("a") as file:
        file.write('{"seq": 99, "kind": "evalu')
    assert len(seen()["grid"][0]["evaluations"]) == 4, "half a line is passed over"
    import shutil

    shutil.rmtree(folder / "grid" / grid[2]["name"])
    for run in grid[2:]:
        train(folder, "grid", run)
    told = foretell(folder, final)
    found = seen()
    assert found["forecast"]["loss"] == told["loss"]
    E, A, B, alpha, beta = found["law"]["constants"]
    at = E + A / final["parameters"] ** alpha + B / final["tokens"] ** beta
    assert at == pytest.approx(told["loss"], rel=1e-9), "the forecast is that of the fit beside it"
    assert len(found["law"]["draws"]) == 400
    (folder / FORECAST).write_text('{"loss": "high"}')
    wrong = studio.get(f"{API}/sweep", params={"at": "sweep"})
    assert wrong.status_code == 400
    assert "forecast.json" in wrong.json()["error"]["message"]
    assert studio.get(f"{API}/sweep", params={"at": "run"}).status_code == 400
    assert studio.get(f"{API}/sweep", params={"at": "../"}).status_code == 404


def test_a_compute_is_said_as_people_say_it(studio) -> None:
    said = {"1e21": 1e21, "10 PF-days": 8.64e20}
    for words, compute in said.items():
        answer = studio.get(f"{API}/compute", params={"said": words}).json()
        assert answer["compute"] == pytest.approx(compute)
    month = studio.get(f"{API}/compute", params={"said": "64xH100 30 days"}).json()["compute"]
    twice = studio.get(f"{API}/compute", params={"said": "128xH100 30 days"}).json()["compute"]
    assert twice == pytest.approx(2 * month)
    assert 64 * 989e12 * 0.2 < month / (30 * 86_400) < 64 * 989e12 * 0.6
    for words in ("", "much", "64xH100", "64xH100 long", "3xNothing 2 days", "1e21 <b>"):
        answer = studio.get(f"{API}/compute", params={"said": words})
        assert answer.status_code == 400, words
        assert answer.json()["error"]["message"]


@pytest.fixture
def page(browser, address):
    base, token = address
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    troubles: list[str] = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.goto(f"{base}/?token={token}")
    yield page
    context.close()
    assert troubles == []


def printed(page) -> list[str]:
    import contextlib

    code, out = page.locator("[data-python]").first.text_content(), io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(code, "shown", "exec"), {})
    return out.getvalue().split()


def test_the_cheapest_model_over_a_life_is_pythons(page, address) -> None:
    page.goto(f"{address[0]}/#scaling?c=22.5")
    page.wait_for_selector(".plane .law", timeout=PATIENCE)
    assert "in use" not in page.locator("[data-summary]").text_content()
    page.locator("[data-use]").fill("13")
    said = page.locator("[data-summary]").text_content()
    parameters, tokens = (float(number) for number in printed(page)[3:])
    assert f"{amount(parameters)} parameters on {amount(tokens)} tokens" in said
    page.locator("[data-said]").fill("64xH100 30 days")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=6.46e22")
    page.locator("[data-said]").fill("nothing")
    page.keyboard.press("Enter")
    assert "no number of FLOPs" in page.get_by_role("alert").text_content()


def test_where_a_model_stands_is_what_the_command_prints(page, address, capsys) -> None:
    """By keys alone: `m` goes from model to model."""
    from headstart.cli.plan import standings

    standings(law="besiroglu-2024", as_json=True)
    first = json.loads(capsys.readouterr().out)[0]
    page.goto(f"{address[0]}/#scaling?c=21")
    page.wait_for_selector(".forest svg", timeout=PATIENCE)
    page.keyboard.press("m")
    said = page.locator(".told").first.text_content()
    assert first["name"] in said
    low, high = first["interval"]["loss_lost"]
    for shown in (
        amount(first["optimal_parameters"]),
        f"{significant(first['loss_lost'], 2)} nats less ({significant(low, 2)} to {significant(high, 2)})",
    ):
        assert shown in said, (shown, said)
    assert page.locator(".plane line.arrow").count() == 2
    page.keyboard.press("Escape")
    assert page.locator(".plane line.arrow").count() == 0


def test_a_sweep_grows_and_its_forecast_stands(page, address, sweep) -> None:
    """Runs come as they are trained; the forecast is the same after the larger run was measured."""
    folder, (*grid, final) = sweep
    page.goto(f"{address[0]}/#scaling?c=21&at=sweep")
    told = page.locator("[data-told]")
    page.wait_for_selector("[data-told]", timeout=PATIENCE)
    assert f"2 of {len(grid)} runs" in told.text_content()
    for run in grid[2:]:
        train(folder, "grid", run)
    forecast = foretell(folder, final)
    train(folder, "final", final, 0.5)
    page.wait_for_selector("[data-told]:has-text('being trained')", timeout=120_000)
    shown = f"Forecast: {significant(forecast['loss'], 4)} nats"
    assert shown in told.text_content()
    assert "neither was fitted anew" in page.locator("[data-sweep]").text_content()
    low, high = forecast["band"]
    measured = law(final["parameters"], final["tokens"])
    write_json(folder / SCORE, {"measured": measured, "error": forecast["loss"] / measured - 1,
                                "inside": low <= measured <= high})  # fmt: skip
    page.wait_for_selector(f"[data-told]:has-text('measured {significant(measured, 4)}')", timeout=120_000)
    assert re.sub(":", "", shown).strip() in told.text_content()
    assert page.locator("path.forecast").count() == 1
