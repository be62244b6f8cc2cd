"""What stands around a fine-tuning: validation, search, seeds, comparisons, the proof of what was saved."""

import json
import math
import shutil
from itertools import permutations
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

import headstart as hs
from headstart.cli import app
from headstart.errors import HeadstartError
from headstart.interchange.model_folder import load_model, save_model
from headstart.tasks.data.dataset import load_examples
from headstart.tasks.examples import TaskData
from headstart.tasks.finetuning import finetune_run as module
from headstart.tasks.finetuning import seeds
from headstart.tasks.finetuning.batches import ExampleLoss, set_apart
from headstart.tasks.finetuning.finetune import finetune
from headstart.tasks.finetuning.finetune_recipe import FinetuneRecipe
from headstart.tasks.finetuning.finetune_run import begin_run, finetune_run
from headstart.tasks.finetuning.fit import fit_task
from headstart.tasks.finetuning.learn import learn
from headstart.tasks.finetuning.search import points, search
from headstart.tasks.finetuning.seeds import SeedRun, collapsed, finetune_seeds, spread
from headstart.tasks.metrics import score
from headstart.tasks.predictor import Predictor
from headstart.tasks.reload_check import check, write_check
from headstart.training.metrics import read_metrics

QUICK = FinetuneRecipe(min_steps=6, max_steps=6, max_tokens=32)
LEARNS = QUICK.model_copy(
    update={"counted_words": "none", "learning_rate": 5e-3, "min_steps": 40, "max_steps": 40}
)


@pytest.fixture(scope="module")
def folders(tmp_path_factory, encoder, places):
    """An encoder's folder, and labelled data in train and test files."""
    folder = tmp_path_factory.mktemp("runs")
    save_model(folder / "encoder", encoder.model, encoder.tokenizer, "masked", "# Encoder")
    rows = [{"text": t, "label": y} for t, y in zip(places.inputs, places.targets, strict=True)]
    for name, part in (("train", rows[:80]), ("test", rows[80:]), ("extra", rows[80:])):
        lines = "".join(json.dumps(row) + "\n" for row in part)
        (folder / f"places.{name}.jsonl").write_text(lines)
    return folder


def loop(judged: list[float], **settings):
    """One weight that goes down by 1 a step, judged by given scores."""
    weight = torch.nn.Parameter(torch.zeros(1))
    model = torch.nn.ParameterList([weight])
    scores = iter(judged)
    seen = []

    def judge() -> float:
        seen.append(float(weight.detach()))
        return next(scores)

    recipe = FinetuneRecipe(min_steps=10, max_steps=10, **settings)
    groups = [{"params": [weight], "lr": 1.0, "weight_decay": 0.0}]
    learned = learn(model, lambda batch: weight.sum(), groups, 20, recipe, 0, judge)
    return learned, float(weight.detach()), seen


def test_the_best_weights_are_kept():
    learned, weight, seen = loop([0.5, 0.9, 0.7, 0.9, 0.8])
    assert learned.steps == 10
    assert learned.kept == 8  # of equal ones the later
    assert weight == seen[3] != seen[4]
    assert [line["score"] for line in learned.curve] == [0.5, 0.9, 0.7, 0.9, 0.8]


@pytest.mark.parametrize("scores", [[0.5, 0.9, math.nan, 0.1, 0.2], [math.nan, 0.9, math.nan, 0.1, math.nan]])
def test_a_score_that_is_no_number_is_never_the_best(scores):
    learned, weight, seen = loop(scores, patience=5)
    assert learned.kept == 4
    assert weight == seen[1]


def test_a_run_ends_when_it_gets_no_better():
    learned, weight, seen = loop([0.9, 0.2, 0.3, 1.0, 1.0], patience=2)
    assert (learned.steps, learned.kept) == (6, 2)
    assert weight == seen[0]
    learned, _, _ = loop([0.9, 0.2, 0.3, 1.0, 1.0], patience=3)
    assert (learned.steps, learned.kept) == (10, 10)


def test_what_is_set_apart(places):
    assert set_apart(places, QUICK, 0) == (places, None)  # too few to choose by
    recipe = QUICK.model_copy(update={"validation_share": 0.25, "validation_least": 10})
    train, validation = set_apart(places, recipe, 0)
    assert len(train) + len(validation) == len(places)
    assert 25 <= len(validation) <= 35
    assert not set(train.inputs) & set(validation.inputs)
    assert validation.targets.count("sea") == len(validation) // 2


@pytest.mark.parametrize("adapt", ["full", "mix"])
def test_the_kept_weights_score_what_the_curve_says(encoder, places, adapt):
    train, validation = places.subset(range(80)), places.subset(range(80, 120))
    recipe = LEARNS.model_copy(update={"adapt": adapt})
    predictor = finetune(encoder, train, recipe, 0, validation=validation)
    best = max(line["score"] for line in predictor.training.validation)
    assert ExampleLoss(predictor, validation, 0).goodness() == best
    answers = predictor.predict(validation.inputs)
    assert score("classification", validation.targets, answers)[0].value == best
    assert predictor.training.validation_examples == 40


def test_a_search_finds_the_setting_that_learns(encoder, places):
    recipe = LEARNS.model_copy(update={"search": {"learning_rate": [1.0, 5e-3], "layer_decay": [0.9, 1.0]}})
    found, tried = search(encoder, places, recipe, 0)
    assert len(tried) == 4
    assert found.learning_rate == 5e-3
    assert not found.search
    assert max(row["score"] for row in tried) == tried[2]["score"] > tried[0]["score"]
    drawn = points(recipe.model_copy(update={"search_trials": 3}), 0)
    assert len(drawn) == 3
    assert all(point in points(recipe, 0) for point in drawn)
    with pytest.raises(HeadstartError, match="no setting 'learning_rat'; did you mean 'learning_rate'"):
        points(QUICK.model_copy(update={"search": {"learning_rat": [1]}}), 0)
    with pytest.raises(HeadstartError, match="learning_rate = -1 is wrong"):
        search(encoder, places, QUICK.model_copy(update={"search": {"learning_rate": [-1]}}), 0)


def scored(monkeypatch, curves: dict[float, list[float]]) -> list[float]:
    """Searches learn nothing, and get these scores by learning rate; returns the rates that were tried."""
    tried = []

    def told(loaded, train, recipe, *_, **named):
        tried.append(recipe.learning_rate)
        curve = [{"step": step, "score": value} for step, value in enumerate(curves[recipe.learning_rate])]
        return SimpleNamespace(training=SimpleNamespace(validation=curve, kept_step=1))

    monkeypatch.setattr("headstart.tasks.finetuning.search.finetune", told)
    return tried


CURVES = {0.1: [math.nan, 0.9, 0.8], 0.2: [math.nan, math.nan], 0.3: [0.7, math.nan], 0.4: [0.5, 0.6]}


@pytest.mark.parametrize("stop", [None, 1, 2, 3])
def test_a_search_is_not_led_by_a_score_that_is_no_number(encoder, places, monkeypatch, tmp_path, stop):
    """Wherever it stands in a curve or among the points, and wherever the search was stopped behind it."""
    tried = scored(monkeypatch, CURVES)
    recipe = QUICK.model_copy(update={"search": {"learning_rate": list(CURVES)}})
    file = tmp_path / "search.json"
    if stop is not None:
        search(encoder, places, recipe, 0, file=file)
        file.write_text(json.dumps(json.loads(file.read_text())[:stop]))
        tried.clear()
    found, rows = search(encoder, places, recipe, 0, file=file)
    assert tried == list(CURVES)[stop:]
    assert found.learning_rate == 0.1
    assert [row["score"] for row in rows if row["settings"]["learning_rate"] != 0.2] == [0.9, 0.7, 0.6]


def test_a_search_without_any_number_is_refused(encoder, places, monkeypatch):
    scored(monkeypatch, {0.1: [math.nan], 0.2: [math.nan, math.nan]})
    recipe = QUICK.model_copy(update={"search": {"learning_rate": [0.1, 0.2]}})
    with pytest.raises(HeadstartError, match=r"no point of the search has a score that is a number, on \d+"):
        search(encoder, places, recipe, 0)


def test_seeds_are_not_ranked_by_a_score_that_is_no_number():
    def run(seed: int, curve: list[float | None] | None) -> SeedRun:
        lines = None if curve is None else [{"step": n, "score": value} for n, value in enumerate(curve)]
        return SeedRun(
            seed, SimpleNamespace(training=SimpleNamespace(validation=lines, last_loss=1.0)), False
        )

    runs = [run(0, [math.nan, math.nan]), run(1, [0.2]), run(2, [None, 0.3]), run(3, [math.nan, 0.1])]
    for order in permutations(runs):
        assert max(order, key=lambda one: one.rank).seed == 2
    assert [one.judged for one in runs[1:]] == [0.2, 0.3, 0.1]
    assert run(4, None).judged is None


def test_seeds_that_learn_nothing_are_flagged_and_not_kept(encoder, places, speech):
    train, test = places.subset(range(80)), places.subset(range(80, 120))
    runs = finetune_seeds(encoder, train, LEARNS, range(3, 5))
    assert [run.seed for run in runs] == [3, 4]
    assert not any(run.collapsed for run in runs)
    still = LEARNS.model_copy(update={"learning_rate": 1e-9})
    dead = finetune(encoder, train, still, 5)
    with torch.no_grad():
        dead.model.head.output.weight.zero_()
    assert collapsed(dead, train)
    runs.append(SeedRun(5, dead, True))
    best = max(runs, key=lambda run: run.rank)
    assert best.seed in (3, 4)
    found = spread(
        runs, best, seeds.measure("classification", ["a"], ["a"])[0].score, TaskData("t", train, test)
    )
    assert [row["collapsed"] for row in found["runs"]] == [False, False, True]
    values = [row["score"] for row in found["runs"]]
    assert found["mean"] == pytest.approx(np.mean(values))
    assert found["deviation"] == pytest.approx(np.std(values, ddof=1))
    assert not collapsed(finetune(encoder, speech, LEARNS, 0), speech)


def test_a_whole_run_with_search_seeds_and_adapter(tmp_path, folders):
    recipe = LEARNS.model_copy(update={"adapt": "lora", "search": {"learning_rate": [1.0, 1e-2]}})
    wrong = recipe.model_copy(update={"search": {"learning": [1]}})
    with pytest.raises(HeadstartError, match="no setting 'learning'"):
        finetune_run(folders / "encoder", folders / "places.train.jsonl", tmp_path / "run", wrong)
    assert not (tmp_path / "run").exists(), "a fit that made nothing leaves nothing"
    figures = finetune_run(
        folders / "encoder", folders / "places.train.jsonl", tmp_path / "run", recipe, seeds=2,
        precision="float32",
    )  # fmt: skip
    assert len(figures["search"]) == 2
    assert [run["seed"] for run in figures["seeds"]["runs"]] == [0, 1]
    assert FinetuneRecipe.load(tmp_path / "run" / "recipe.yaml", []).learning_rate == 1e-2
    for seed in (0, 1):  # each has a course of its own
        course = read_metrics(tmp_path / "run" / "fits" / f"seed-{seed}")
        assert [event["step"] for event in course] == [*range(1, 41), 40]
    model, adapter = hs.load(tmp_path / "run"), hs.load(tmp_path / "run" / "adapter")
    assert model.check() == pytest.approx(0, abs=1e-5)
    texts = load_examples(folders / "places.test.jsonl").inputs
    for one, other in zip(model.predict(texts), adapter.predict(texts), strict=True):
        assert one["label"] == other["label"]
        assert one["probability"] == pytest.approx(other["probability"], abs=1e-5)


def test_a_fine_tuning_writes_its_course(tmp_path, folders, monkeypatch):
    """Every step and every look at the validation data, in a folder that says what goes on there."""
    seen = []

    def watched(*given, **named):
        seen.append({path.name for path in (tmp_path / "run").iterdir()})
        return fit_task(*given, **named)

    monkeypatch.setattr(module, "fit_task", watched)
    finetune_run(
        folders / "encoder", folders / "places.train.jsonl", tmp_path / "run", QUICK,
        validation=folders / "places.extra.jsonl", precision="float32",
    )  # fmt: skip
    assert seen[0] >= {"run.json", "recipe.yaml"}
    events = read_metrics(tmp_path / "run")
    steps = [event for event in events if event["kind"] == "step"]
    assert [event["step"] for event in steps] == list(range(1, 7))
    training = json.loads((tmp_path / "run" / "scores.json").read_text())["finetuning"]
    assert training["last_loss"] == pytest.approx(steps[-1]["loss"], abs=1e-4)
    looks = [(event["step"], event["score"]) for event in events if event["kind"] == "evaluation"]
    assert looks == [(line["step"], line["score"]) for line in training["validation"]]
    assert events[-1]["kind"] == "end"


def test_a_head_that_is_fitted_at_once_is_one_step(tmp_path, folders):
    probe = QUICK.model_copy(update={"adapt": "frozen"})
    train = folders / "places.train.jsonl"
    validation = folders / "places.extra.jsonl"
    told = finetune_run(
        folders / "encoder", train, tmp_path / "run", probe, validation=validation, precision="float32"
    )
    step, judged, end = read_metrics(tmp_path / "run")
    assert (step["kind"], judged["kind"], end["kind"]) == ("step", "evaluation", "end")
    assert step["step"] == judged["step"] == end["step"]
    assert [judged["score"]] == [line["score"] for line in told["finetuning"]["validation"]]


def test_a_run_says_which_test_file_it_was_given(folders):
    train, named = folders / "places.train.jsonl", folders / "places.extra.jsonl"
    assert begin_run(folders / "encoder", train)[2]["test"] is None  # found beside it, as by everybody else
    assert begin_run(folders / "encoder", train, test=named)[2]["test"] == str(named)


def test_every_entrance_makes_the_same_model(tmp_path, folders):
    """`hs.finetune`, `headstart finetune` and a way of a comparison: the same weights, facts and score."""
    data, settings = folders / "places.train.jsonl", {"min_steps": 6, "max_steps": 6, "max_tokens": 32}
    python = hs.finetune(folders / "encoder", data, labels=40, seed=3, **settings)
    command = ["finetune", str(folders / "encoder"), "--data", str(data), "--labels", "40", "--seed", "3"]
    command += ["--precision", "float32", *(f"{key}={value}" for key, value in settings.items())]
    done = CliRunner().invoke(app, [*command, "--out", str(tmp_path / "run"), "--json"])
    assert done.exit_code == 0, done.output
    ways = [*command, "--compare", "full,mix", "--out", str(tmp_path / "ways"), "--json"]
    assert CliRunner().invoke(app, ways).exit_code == 0
    python.save(tmp_path / "python")
    kept = [tmp_path / "python", tmp_path / "run" / "model", tmp_path / "ways" / "full" / "model"]
    weights = [load_file(folder / "model.safetensors") for folder in kept]
    facts = [(folder / "config.json").read_bytes() for folder in kept]  # without the time that it took
    for others in (1, 2):
        assert weights[0].keys() == weights[others].keys()
        assert all(torch.equal(tensor, weights[others][name]) for name, tensor in weights[0].items())
        assert facts[0] == facts[others]
    scores = [json.loads(done.stdout)["scores"][0]["value"], python.score.value]
    scores.append(json.loads((tmp_path / "ways" / "compare.json").read_text())["ways"][0]["value"])
    assert len(set(scores)) == 1


def test_a_comparison_from_the_command_line(tmp_path, folders):
    out = tmp_path / "compared"
    command = ["finetune", str(folders / "encoder"), "--data", str(folders / "places.train.jsonl")]
    command += ["--out", str(out), "--precision", "float32", "--compare", "full,frozen,mix,lora,top-1"]
    settings = ["min_steps=6", "max_steps=6", "max_tokens=32"]
    done = CliRunner().invoke(app, [*command, "--json", *settings], catch_exceptions=False)
    assert done.exit_code == 0
    figures = json.loads((out / "compare.json").read_text())
    assert json.loads(done.stdout) == figures
    rows = {row["adapt"]: row for row in figures["ways"]}
    assert list(rows) == ["full", "frozen", "mix", "lora", "top-1"]
    assert rows["frozen"]["bytes"] < rows["mix"]["bytes"] < rows["lora"]["bytes"] < rows["full"]["bytes"]
    assert rows["full"]["against_first"] is None
    assert rows["lora"]["against_first"]["low"] <= rows["lora"]["against_first"]["difference"]
    assert all(row["n"] == 40 and row["low"] <= row["value"] <= row["high"] for row in rows.values())
    assert sum(rows["mix"]["mix"]["weights"]) == pytest.approx(1)
    text = (out / "compare.md").read_text()
    assert "What `mix` reads" in text
    assert f"{rows['lora']['weights']:,}" in text
    for way in rows:
        assert hs.load(out / way).check() == pytest.approx(0, abs=1e-5)
        assert "95 % bootstrap interval" in (out / way / "model" / "README.md").read_text()
    assert (out / "lora" / "adapter" / "adapter_config.json").exists()
    (out / "compare.json").unlink()  # as if it had been stopped
    shutil.rmtree(out / "mix")
    trained = (out / "full" / "model" / "model.safetensors").stat().st_mtime_ns
    done = CliRunner().invoke(app, [*command, "--json", *settings], catch_exceptions=False)
    again = {row["adapt"]: row | {"seconds": 0} for row in json.loads(done.stdout)["ways"]}
    assert again == {way: row | {"seconds": 0} for way, row in rows.items()}
    assert (out / "full" / "model" / "model.safetensors").stat().st_mtime_ns == trained
    (out / "compare.json").unlink()
    with pytest.raises(HeadstartError, match="made from other inputs or settings"):
        CliRunner().invoke(app, [*command, *settings, "epochs=3"], catch_exceptions=False)
    with pytest.raises(HeadstartError, match="made from other inputs or settings"):
        CliRunner().invoke(app, [*command, *settings, "--labels", "9"], catch_exceptions=False)
    for extra in (["--seeds", "2"], ["--from-scratch"]):
        with pytest.raises(HeadstartError, match="--compare takes no"):
            CliRunner().invoke(app, [*command, *extra], catch_exceptions=False)


def test_validation_and_search_from_python(folders):
    settings = {"min_steps": 30, "max_steps": 30, "max_tokens": 32, "counted_words": "none"}
    data, extra = folders / "places.train.jsonl", folders / "places.extra.jsonl"
    model = hs.finetune(
        folders / "encoder", data, validation=extra, search={"learning_rate": [1.0, 1e-2]}, **settings
    )
    assert model.predictor.training.learning_rate == 1e-2
    assert model.predictor.training.validation_examples == 40


def test_a_comparison_from_python(folders):
    model = hs.load(folders / "encoder")
    settings = {"min_steps": 6, "max_steps": 6, "max_tokens": 32}
    compared = hs.compare(model, folders / "places.train.jsonl", ["frozen", "lora"], **settings)
    assert [way.adapt for way in compared.ways] == ["frozen", "lora"]
    assert "accuracy" in compared.text()
    with pytest.raises(HeadstartError, match="two ways"):
        hs.compare(model, folders / "places.train.jsonl", ["full"])
    with pytest.raises(HeadstartError, match=r"adapt = 'lora2' is wrong: .*take full, frozen, mix, lora"):
        hs.compare(model, folders / "places.train.jsonl", ["full", "lora2"])


def test_the_kept_batch_tells_what_was_changed(tmp_path, encoder, places, documents):
    predictor = finetune(encoder, places, QUICK, 0)
    folder = tmp_path / "model"
    predictor.save(folder, "# Places")
    assert check(folder, predictor) is None
    write_check(folder, predictor)
    assert check(folder, Predictor.of(load_model(folder))) == pytest.approx(0, abs=1e-5)
    assert check(folder, Predictor.of(load_model(folder, torch.bfloat16))) == pytest.approx(0, abs=1e-5)

    tensors = load_file(folder / "model.safetensors")
    tensors["classifier.weight"] = -tensors["classifier.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(HeadstartError, match="does not compute what it did when it was fine-tuned"):
        hs.load(folder).check()
    data = tmp_path / "data.csv"
    data.write_text("text,label\nThe ship,sea\nThe table,home\n")
    with pytest.raises(HeadstartError, match="does not compute what it did"):
        CliRunner().invoke(app, ["evaluate", str(folder), "--on", str(data)], catch_exceptions=False)
    with pytest.raises(HeadstartError, match="does not compute what it did"):
        CliRunner().invoke(app, ["predict", str(folder), str(data)], catch_exceptions=False)

    from headstart.tokenizer.train import TokenizerRecipe, train

    texts = (d["text"].upper() for d in documents)
    train(texts, TokenizerRecipe(vocab_size=600), tmp_path / "other")
    predictor.save(folder, "# Places")
    write_check(folder, predictor)
    shutil.copy(tmp_path / "other" / "tokenizer.json", folder / "tokenizer.json")
    with pytest.raises(HeadstartError, match="the tokenizer gives other tokens"):
        hs.load(folder).check()

    save_file({"ids": torch.zeros(1, dtype=torch.int64)}, folder / "check.safetensors")
    with pytest.raises(HeadstartError, match="holds no outputs of a model"):
        hs.load(folder).check()


def test_seeds_and_search_go_on_after_a_stop(tmp_path, folders, monkeypatch):
    """What was learned is not learned again, and the result is that of an undisturbed run."""
    settings = {"adapt": "lora", "search": {"learning_rate": [1e-9, 1e-2]}}
    recipe = QUICK.model_copy(update=settings)
    given = folders / "encoder", folders / "places.train.jsonl"
    whole = finetune_run(*given, tmp_path / "whole", recipe, seeds=2)
    calls, stops = [], [3, 1]  # behind the first point of the search; behind the first seed

    def counted(*given, **named):
        if stops and len(calls) == stops[-1]:
            stops.pop()
            raise KeyboardInterrupt
        calls.append(given)
        return finetune(*given, **named)

    monkeypatch.setattr("headstart.tasks.finetuning.search.finetune", counted)
    monkeypatch.setattr("headstart.tasks.finetuning.seeds.finetune", counted)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            finetune_run(*given, tmp_path / "parts", recipe, seeds=2)
    parts = finetune_run(*given, tmp_path / "parts", recipe, seeds=2)
    assert len(calls) == 4  # two points and two seeds, each once
    assert parts["scores"] == whole["scores"]
    assert parts["seeds"] == whole["seeds"]
    for part in ("model/model.safetensors", "model/config.json", "adapter/adapter_model.safetensors"):
        assert (tmp_path / "parts" / part).read_bytes() == (tmp_path / "whole" / part).read_bytes()
    assert not (tmp_path / "parts" / "seeds").exists()
    assert not (tmp_path / "parts" / "search.json").exists()
