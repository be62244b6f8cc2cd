"""From a question to its answers: as a dictionary, on the command line, as a recipe, as a page."""

import json
import re
from functools import partial
from pathlib import Path

import pytest
from typer.testing import CliRunner

from headstart.cli.plan import plan
from headstart.console import Console
from headstart.errors import HeadstartError
from headstart.models.parameters import block_parameters, parameters
from headstart.models.registry import preset_config
from headstart.scaling import terminal
from headstart.scaling.hardware import device_named
from headstart.scaling.measure import peak_memory
from headstart.scaling.memory import training_memory
from headstart.scaling.plan import Question, answer, model_named
from headstart.scaling.published import LOSS_LAWS, REFIT, models
from headstart.scaling.shape import shape_for, training_steps
from headstart.scaling.width_transfer import coordinate_check
from headstart.training.recipe import OptimiserRecipe, PretrainRecipe


def run(*arguments: str) -> str:
    result = CliRunner().invoke(plan, list(arguments))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of the published law, a diverged one and an outlier."""
    path = tmp_path_factory.mktemp("runs") / "runs.csv"
    lines = ["name,parameters,tokens,loss"]
    for compute in (1e18, 1e19, 1e20):
        best = REFIT.optimum(compute).parameters
        for index, factor in enumerate((0.3, 0.55, 1.0, 1.8, 3.3)):
            n = best * factor
            d = compute / 6 / n
            noise = 1 + 0.002 * ((index * 7 + len(lines)) % 5 - 2)
            lines.append(f"{compute:g}-{index},{n},{d},{REFIT.loss(n, d) * noise}")
    lines += ["burst,1e8,2e9,nan", "strange,2e8,4e9,4.5"]
    path.write_text("\n".join(lines))
    return path


# --- questions ------------------------------------------------------------------------------------------


def test_every_way_to_ask_leads_to_the_same_compute() -> None:
    direct = answer(Question(REFIT, compute=1e21))
    by_loss = answer(Question(REFIT, loss=direct.optimum.loss))
    assert by_loss.compute == pytest.approx(1e21, rel=1e-3)
    h100 = device_named("H100")
    seconds = 1e21 / (8 * h100.flops * 0.4)
    by_time = answer(Question(REFIT, hardware=h100, devices=8, seconds=seconds, utilisation=0.4))
    assert by_time.compute == pytest.approx(1e21)
    config = preset_config("llama-3-8b")
    by_model = answer(Question(REFIT, model=config, tokens=15e12))
    assert by_model.compute == pytest.approx(6 * parameters(config) * 15e12)
    sized = answer(Question(REFIT, model=config))
    assert sized.optimum.parameters == pytest.approx(parameters(config), rel=1e-4)
    with pytest.raises(HeadstartError, match="nothing to plan from"):
        answer(Question(REFIT))


def test_an_answer_is_whole_and_json() -> None:
    plan = answer(
        Question(
            REFIT,
            compute=1e22,
            hardware=device_named("H100"),
            devices=64,
            unique=50e9,
            inference=1e12,
            price=2.0,
        )
    )
    found = json.loads(json.dumps(plan.as_dict(), allow_nan=False))
    assert found["optimum"]["tokens_per_parameter"] == plan.optimum.tokens_per_parameter
    assert "standing" not in found
    low, high = found["optimum"]["parameters_interval"]
    assert low < found["optimum"]["parameters"] < high
    assert found["repeated"]["epochs"] > 1
    assert found["lifetime"]["parameters"] < found["optimum"]["parameters"]
    assert found["lifetime"]["total"] < found["lifetime"]["total_of_cheapest_training"]
    assert found["layouts"][0]["degrees"]["data"] >= 1
    assert found["bill"]["price"][0] == pytest.approx(2 * found["bill"]["device_hours"][0])
    assert found["model"]["parameters"] == pytest.approx(found["optimum"]["parameters"], rel=0.1)


def test_what_is_given_is_what_is_planned() -> None:
    """A model that has to reach a loss gets the tokens for it; tokens that are given decide the size."""
    config = preset_config("llama-3-8b")
    to_loss = answer(Question(REFIT, model=config, loss=2.1))
    assert REFIT.loss(parameters(config), to_loss.tokens) == pytest.approx(2.1)
    assert to_loss.compute == pytest.approx(6 * parameters(config) * to_loss.tokens)
    assert to_loss.standing is not None
    assert to_loss.standing.loss == pytest.approx(2.1)
    sized = answer(Question(REFIT, compute=1e21, tokens=200e9))
    assert 6 * sized.model.parameters * 200e9 == pytest.approx(1e21, rel=0.1)
    assert sized.tokens == 200e9
    assert answer(Question(REFIT, compute=1e21, batch=1e6)).batch == 1e6
    assert answer(Question(REFIT, compute=1e13, vocab_size=512)).batch >= 2048, "at least a row"


def test_a_recipe_has_the_planned_model_under_a_law_that_counts_no_embeddings(tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    found = json.loads(run("--compute", "1e18", "--law", "kaplan-2020", "--write", str(file), "--json"))
    model = PretrainRecipe.load(file, ["tokens=some/tokens"]).model
    assert (model.layers, model.width) == (
        found["model"]["shape"]["layers"],
        found["model"]["shape"]["width"],
    )
    assert found["model"]["parameters_without_embeddings"] == pytest.approx(
        found["optimum"]["parameters"], rel=0.1
    )


def test_a_law_that_counts_no_embeddings_is_given_none() -> None:
    law = LOSS_LAWS["kaplan-2020"]
    config = preset_config("gpt2-small")
    bare = block_parameters(config)
    found = answer(Question(law, model=config, tokens=10e9))
    assert found.standing.loss == pytest.approx(law.loss(bare, 10e9)) != law.loss(parameters(config), 10e9)
    assert found.compute == 6 * bare * 10e9
    planned = answer(Question(law, compute=1e20))
    wanted = planned.optimum.parameters
    assert planned.model.parameters_without_embeddings == pytest.approx(wanted, rel=0.1)
    for model in models():
        assert model.without_embeddings < model.parameters < 1.2 * model.without_embeddings


def test_shapes_have_usual_proportions() -> None:
    for count in (1e6, 1e8, 7e9, 4e11):
        config = shape_for("llama", count, 1024, 2048)
        assert parameters(config) == pytest.approx(count, rel=0.15)
        assert config.width % config.heads == 0
        assert 16 <= config.width / config.layers <= 300
    with pytest.raises(HeadstartError, match="no llama of usual proportions"):
        shape_for("llama", 1e15, 1024, 2048)
    with pytest.raises(HeadstartError, match="parameters at any width"):
        shape_for("llama", 1e6, 128_256, 128)
    assert model_named("llama-3-8b", "gpt2", 1000, 64).family == "llama"
    assert parameters(model_named("124M", "gpt2", 50_257, 1024)) == pytest.approx(124e6, rel=0.05)
    with pytest.raises(HeadstartError, match="llama-3-8b"):
        model_named("llama-3-8", "gpt2", 1000, 64)


def test_steps_read_the_tokens() -> None:
    for tokens, context, batch in ((1e9, 1024, 5e5), (1e6, 128, 5e5), (3e4, 128, 4096)):
        steps, rows = training_steps(tokens, context, batch)
        assert steps * rows * context == pytest.approx(tokens, rel=0.02)
        assert rows * context <= max(batch, context) * 1.5


# --- command line ---------------------------------------------------------------------------------------


def test_plan_in_words_and_as_json(tmp_path: Path) -> None:
    words = run("--compute", "1e21")
    assert "2.78B parameters" in words
    found = json.loads(run("--compute", "1e21", "--json"))
    assert found["optimum"]["parameters"] == pytest.approx(2.78e9, rel=0.01)
    words = run("--hardware", "64xH100", "--time", "30 days", "--price", "2.5")
    assert "price:" in words
    assert "MFU" in words
    words = run("--model", "llama-3-8b", "--tokens", "15T")
    assert "small on purpose" in words


def test_a_written_recipe_is_one_that_pretrain_takes(tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    run(
        "--compute",
        "1e16",
        "--vocabulary",
        "4096",
        "--context",
        "256",
        "--write",
        str(file),
        "--data",
        "some/tokens",
    )
    recipe = PretrainRecipe.load(file, [])
    config = shape_for("headstart-decoder", REFIT.optimum(1e16).parameters, 4096, 256)
    assert recipe.model.layers == config.layers
    tokens = recipe.steps * recipe.rows * recipe.context
    assert tokens == pytest.approx(REFIT.optimum(1e16).tokens, rel=0.05)
    assert file.read_text().startswith("# Planned for 1.00e+16 FLOPs")


def test_mistakes_are_one_sentence() -> None:
    for arguments, said in [
        (["--compute", "-5"], "no possible number of FLOPs"),
        (["--compute", "lots"], "1e21 or 3.8e25"),
        (["--hardware", "4xGaudi9", "--time", "3 days"], "--flops"),
        (["--hardware", "64xH100", "--time", "3"], "30 days"),
        (["--loss", "0.5"], "no way to a loss"),
        (["--compute", "1e21", "--law", "chinchila"], "hoffmann"),
        (["--compute", "1e21", "--law", "nowhere.json"], "there is no"),
        (["model", "llama-9-9b"], "did you mean"),
        (["transfer", "--widths", "64"], "multiples of 32"),
        (["--compute", "1e21", "--law", "hoffmann-2022-1"], "gives no loss"),
        (["--compute", "1e21", "--loss", "2.1"], "--compute and --loss both say how much"),
        (
            ["--compute", "1e21", "--model", "7B", "--tokens", "1T"],
            "--compute and --model with --tokens both",
        ),
        (["--hardware", "8xH100", "--time", "1 day", "--compute", "1e21"], "leave one of them out"),
        (["--loss", "2.1", "--tokens", "1T"], "leave --tokens out"),
        (["--model", "100M", "--loss", "2.1"], "never come to a loss of 2.1"),
        (["--compute", "1e21", "--price", "2"], "--price says nothing without hardware"),
        (["--compute", "1e21", "--time", "1 day"], "--time says nothing without hardware"),
        (["--hardware", "here", "--model", "7B"], "--model says nothing with --hardware here"),
        (["--hardware", "8xH100", "--time", "1 day", "--price", "inf"], "--price is infinite"),
        (["--compute", "1e21", "--data", "tokens"], "give --write"),
        (["--compute", "1e21", "--batch", "1e15"], "no part of a run"),
        (["--model", "7B", "--tokens", "1.500"], "whole"),
        (["--hardware", "1xT4", "--time", "1 day", "--model", "llama-3-70b"], "does not fit"),
        (["model", "llama-3-8b", "--tensor", "3"], "32 heads are not shared evenly"),
        (["model", "llama-3-8b", "--pipeline", "64"], "32 layers do not fill"),
        (["model", "llama-3-8b", "--shard", "3"], "needs --data 2"),
    ]:
        result = CliRunner().invoke(plan, arguments)
        assert isinstance(result.exception, HeadstartError), arguments
        assert said in str(result.exception)


def test_unknown_hardware_with_its_figures() -> None:
    found = json.loads(
        run("--hardware", "8xGaudi9", "--flops", "400T", "--memory", "96GB", "--compute", "1e20", "--json")
    )
    assert found["bill"]["megawatt_hours"] is None
    assert found["layouts"]


def test_a_column_of_compute_that_is_not_used_is_said(table: Path, tmp_path: Path) -> None:
    """PaLM's, say, counts attention: parameters and tokens decide, and the difference is shown."""
    header, *rows = table.read_text().splitlines()
    for share in (1.0, 1.25):
        with_compute = tmp_path / f"{share}.csv"
        lines = [f"{row},{share * 6 * float(n) * float(d)}" for row in rows for n, d in [row.split(",")[1:3]]]
        with_compute.write_text("\n".join([f"{header},compute", *lines]))
        said = run("fit", str(with_compute), "--samples", "200")
        assert ("1.25 to 1.25 times 6 N D" in " ".join(said.split())) == (share > 1)


def test_fit_finds_the_law_and_its_file_is_a_law(table: Path, tmp_path: Path) -> None:
    file, page = tmp_path / "fit.json", tmp_path / "fit.html"
    found = json.loads(
        run("fit", str(table), "--samples", "200", "--out", str(file), "--page", str(page), "--json")
    )
    for constant in ("E", "A", "B", "alpha", "beta"):
        low, high = found["intervals"][constant]
        assert low <= found[constant] <= high
    assert found["exponent_a"] == pytest.approx(REFIT.parameter_exponent, abs=0.06)
    assert [outlier["name"] for outlier in found["outliers"]] == ["strange"]
    assert "diverged" in found["left_out"]["burst"]
    assert found["printed_interval"]["runs_needed"] > 1000
    assert len(found["approaches"]) >= 2
    planned = json.loads(run("--compute", "1e20", "--law", str(file), "--json"))
    assert planned["law"]["name"] == "own-fit"
    assert planned["optimum"]["parameters_interval"]
    assert "outlier, left out: strange" in run("fit", str(table), "--samples", "200")
    is_page(page)


def test_pages_stand_alone(tmp_path: Path) -> None:
    page = tmp_path / "plan.html"
    run("--compute", "1e24", "--hardware", "1024xH100", "--page", str(page))
    text = is_page(page)
    assert text.count("<figure") == 4
    assert text.count('plot-chart"><svg') == 4
    assert "llama-3-70b" in text
    assert "Memory of the layouts" in text


def is_page(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert not re.search(r"<script|https?://|\bnan\b|\binf\b", text)
    for numbers in re.findall(r'd="([^"]*)"', text):
        assert "None" not in numbers
    return text


def test_models_standings_and_laws() -> None:
    found = json.loads(run("model", "llama-3-70b", "--rows", "1", "--json"))
    assert found["parameters"] == 70_553_706_496
    assert found["cache_bytes"]["131072"]["multi-head"] == 8 * found["cache_bytes"]["131072"]["as it is"]
    assert -0.2 < found["six_n_error"] < 0
    assert "feed-forward" in run("model", "bert-base", "--row", "128")
    stands = {row["name"]: row for row in json.loads(run("standings", "--json"))}
    assert stands["gpt3-175b"]["verdict"] == "too large for its data"
    assert "chinchilla-70b" in run("standings")
    names = [law["name"] for law in json.loads(run("laws", "--json"))]
    assert {"kaplan-2020", "hoffmann-2022-1", "hoffmann-2022-3", "besiroglu-2024", "muennighoff-2023"} <= set(
        names
    )
    assert all(law["source"] for law in json.loads(run("laws", "--json")))


# --- this machine ---------------------------------------------------------------------------------------


@pytest.mark.slow
def test_planned_memory_is_what_a_process_takes() -> None:
    """A step whose tensors outweigh what the libraries need; `plan measure` does more and larger ones."""
    config = shape_for("headstart-decoder", 6e6, 4096, 128)
    planned = training_memory(config, 24, 128, None, "float32", "muon", device="cpu", documents=True).peak
    assert planned == pytest.approx(peak_memory(config, 24, "float32", "none"), rel=0.12)


def test_the_rule_keeps_activations_still_when_the_width_grows() -> None:
    plain, ruled = (
        coordinate_check("headstart-decoder", [32, 64, 128], OptimiserRecipe(), tuned, seeds=1, steps=3)
        for tuned in (None, 32)
    )
    assert ruled.slopes["logits"] < plain.slopes["logits"] - 0.2
    assert all(abs(slope) < 0.35 for slope in ruled.slopes.values())


@pytest.mark.parametrize("width", [None, 80])
def test_no_figure_of_a_wide_table_is_cut(monkeypatch: pytest.MonkeyPatch, width: int | None) -> None:
    """Whether it goes into a file or to a narrow terminal."""
    if width:
        narrow = partial(Console, width=width, force_terminal=True, color_system=None)
        monkeypatch.setattr("headstart.scaling.terminal.Console", narrow)
    shown = " ".join(run("model", "llama-3-8b", "--row", "2048").split("Memory for training")[1].split())
    figures = re.findall(r"(?<![\d.,])[\d.,]+ [kMGT]?B\b", shown)
    assert len(figures) == 9 * 8, "nine ways to train, eight figures each"
    assert "float32, selective recomputed" in shown


def test_a_table_that_becomes_sentences_names_its_first_column(monkeypatch, capsys) -> None:
    narrow = partial(Console, width=30, force_terminal=True, color_system=None)
    monkeypatch.setattr("headstart.scaling.terminal.Console", narrow)
    terminal.table("Loss", ["width", "x" * 20, "y" * 20], [["64", "1.5", "2.5"]])
    shown = " ".join(capsys.readouterr().out.split())
    assert shown == f"Loss width 64: {'x' * 20} 1.5, {'y' * 20} 2.5"


def test_two_outputs_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "runs.csv").write_text("parameters,tokens,loss\n" + "1e6,1e8,3\n" * 9)
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    for words in (["--compute", "1e15", "--write"], ["fit", str(tmp_path / "runs.csv"), "--out"]):
        for page in ("mine", "link"):
            given = [*words, str(tmp_path / "mine"), "--page", str(tmp_path / page), "--replace"]
            with pytest.raises(HeadstartError, match="are the same file"):
                CliRunner().invoke(plan, given, catch_exceptions=False)
    assert (tmp_path / "mine").read_text() == "mine"
