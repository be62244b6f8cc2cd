"""Measuring a head start: points and courses on the disk, and what they cost."""

import json
import math
import random
from itertools import count
from types import SimpleNamespace

import orjson
import pytest
import torch
from typer.testing import CliRunner

from headstart.cli import app
from headstart.errors import HeadstartError
from headstart.interchange.model_folder import save_model
from headstart.tasks.data.dataset import find_tasks
from headstart.tasks.data.splitting import sample_labels
from headstart.tasks.examples import Examples, TaskData
from headstart.tasks.finetuning.economy import (
    Prices,
    Way,
    break_even,
    core_seconds_with,
    labels_for,
    price_each,
    price_once,
)
from headstart.tasks.finetuning.finetune import finetune
from headstart.tasks.finetuning.finetune_recipe import FinetuneRecipe
from headstart.tasks.finetuning.fit_record import FitRecord, looks
from headstart.tasks.finetuning.head_start import Asked, fit_points, head_start_run, table
from headstart.tasks.finetuning.head_start_points import ABOUT, POINTS, pretraining_cost, read_points
from headstart.tasks.finetuning.learning_curve import run_point
from headstart.training.metrics import Metrics, read_metrics

QUICK = FinetuneRecipe(min_steps=5, max_steps=5, max_tokens=32)


def halves(examples: Examples) -> tuple[Examples, Examples]:
    return examples.subset(range(80)), examples.subset(range(80, len(examples)))


def test_a_fit_that_is_looked_at_is_the_same(tmp_path, encoder, places) -> None:
    train, test = halves(places)
    with FitRecord(tmp_path / "fit", test) as record:
        watched = finetune(encoder, train, QUICK, 3, watch=record)
        record.end(watched.training.steps, 1.0, 0.5)
    plain = finetune(encoder, train, QUICK, 3)
    for name, weight in plain.model.state_dict().items():
        assert torch.equal(weight, watched.model.state_dict()[name]), name
    events = read_metrics(tmp_path / "fit")
    steps = [event for event in events if event["kind"] == "step"]
    assert [event["step"] for event in steps] == list(range(1, plain.training.steps + 1))
    assert {e["step"] for e in events if e["kind"] == "evaluation"} == looks(plain.training.steps)
    assert events[-1]["kind"] == "end"
    assert steps[-1]["seconds"] < record.seconds + record.looking


def test_judging_is_a_cost_of_the_fit_and_looking_is_none(tmp_path, places, monkeypatch) -> None:
    """Validation data choose the weights, so a point's seconds hold their time; test examples are answered
    for the picture alone."""
    clock = count()
    monkeypatch.setattr("headstart.tasks.finetuning.fit_record.time.perf_counter", lambda: next(clock))
    monkeypatch.setattr(FitRecord, "_look", lambda self, *_: setattr(self, "looking", self.looking + 100))
    model = SimpleNamespace(model=SimpleNamespace(writes=False))
    with FitRecord(tmp_path, places) as record:
        record(model, 1, 1, 0.5, None)
        record(model, 1, 1, None, 0.9)
        assert (record.looking, record.judging) == (100, 1)


def test_the_course_ends_with_the_points_own_score(tmp_path, encoder, places) -> None:
    save_model(tmp_path / "model", encoder.model, encoder.tokenizer, "masked", "# Encoder")
    train, test = halves(places)
    threads = torch.get_num_threads()
    try:
        point = run_point(
            tmp_path / "model", TaskData("places", train, test), 20, "from-scratch", 0, QUICK,
            course=tmp_path / "course",
        )  # fmt: skip
    finally:
        torch.set_num_threads(threads)
    last = read_metrics(tmp_path / "course")[-1]
    assert (last["kind"], last["score"]) == ("end", point["score"])


@pytest.fixture
def labelled(tmp_path, places):
    """The examples as a file, and a model folder."""
    few = sample_labels(places, 60, 0)
    rows = [{"text": text, "label": label} for text, label in zip(few.inputs, few.targets, strict=True)]
    path = tmp_path / "places.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_a_measurement_goes_on_where_it_stopped(tmp_path, encoder, labelled) -> None:
    save_model(tmp_path / "model", encoder.model, encoder.tokenizer, "masked", "# Encoder")
    out, systems, labels = tmp_path / "out", ["from-scratch", "majority"], [20, None]
    given = {"labels": labels, "seeds": 1, "systems": systems, "test_examples": 20, "precision": "float32"}
    first = head_start_run(tmp_path / "model", labelled, out, QUICK, **given)
    assert head_start_run(tmp_path / "model", labelled, out, QUICK, **given) == first
    assert {(row["system"], row["seeds"]) for row in first["rows"]} == {(name, 1) for name in systems}
    about = json.loads((out / ABOUT).read_text())
    assert (about["fits"], about["pretraining"], len(first["rows"])) == (4, None, 4)
    # A kill leaves half a line: it is cut off, and its fit alone is made again.
    lines = (out / POINTS).read_bytes().splitlines(keepends=True)
    (out / POINTS).write_bytes(b"".join(lines[:3]) + lines[3][:40])
    assert len(read_points(out / POINTS).points) == 3
    asked = Asked(
        tmp_path / "model", labelled, {}, labels, [0], ["from-scratch", "majority"], QUICK, "float32", 20
    )
    fit_points(asked, find_tasks(labelled), out / POINTS)
    again = read_points(out / POINTS)
    assert ((out / POINTS).read_bytes().splitlines(keepends=True)[:3], again.damaged) == (lines[:3], 0)
    assert {(row["system"], row["labels"], row["score"]) for row in table(again.points)} == {
        (row["system"], row["labels"], row["score"]) for row in first["rows"]
    }


def test_damaged_lines_are_counted(tmp_path) -> None:
    good = {
        "task": "t",
        "metric": "accuracy",
        "labels": 20,
        "system": "tf-idf",
        "seed": 0,
        "score": 0.5,
        "seconds": 1.0,
    }
    lines = [
        orjson.dumps(good),
        b"{broken",
        orjson.dumps({"task": "t"}),
        b"[1]",
        orjson.dumps(good | {"seed": 1}),
    ]
    path = tmp_path / POINTS
    path.write_bytes(b"\n".join(lines) + b"\n" + b'{"half')
    found = read_points(path)
    assert ([p["seed"] for p in found.points], found.damaged) == ([0, 1], 3)
    assert read_points(tmp_path / "nothing").points == []
    rows = table(found.points)
    assert (rows[0]["score"], rows[0]["deviation"], rows[0]["seeds"]) == (0.5, 0.0, 2)


def test_what_pretraining_cost_is_the_runs_last_step(tmp_path) -> None:
    metrics = Metrics(tmp_path, 0, sinks=())
    for step in (1, 2):
        metrics.write("step", step, seconds=3.0 * step, core_seconds=5.0 * step, tokens=100 * step)
    metrics.close()
    (tmp_path / "model").mkdir()
    wanted = {"seconds": 6.0, "core_seconds": 10.0, "tokens": 200, "steps": 2}
    assert pretraining_cost(tmp_path) == pretraining_cost(tmp_path / "model") == wanted
    assert pretraining_cost(tmp_path / "model" / "x") is None


def test_labels_and_prices_are_read_off_the_points() -> None:
    way = Way([(10, 0.5, 1.0), (100, 0.7, 2.0), (1000, 0.9, 4.0)], once=7200.0)
    assert labels_for(way, 0.4) == 10
    assert labels_for(way, 0.7) == pytest.approx(100)
    assert labels_for(way, 0.6) == pytest.approx(math.sqrt(10 * 100))
    assert labels_for(way, 0.95) is None
    assert labels_for(Way([]), 0.5) is None
    assert core_seconds_with(way, math.sqrt(1e5)) == pytest.approx(3.0)
    assert (core_seconds_with(way, 5), core_seconds_with(way, 5000)) == (1.0, 4.0)
    prices = Prices(label=0.1, core_hour=3.0)
    assert price_once(way, prices) == pytest.approx(6.0)
    assert price_each(way, 0.7, prices) == pytest.approx(10 + 2 / 1200)
    # A dip of the curve: the first time that it comes to the score counts.
    assert labels_for(Way([(10, 0.5, 1), (20, 0.8, 1), (40, 0.6, 1), (80, 0.9, 1)]), 0.7) < 20


def test_break_even_is_where_both_cost_the_same() -> None:
    drawn = random.Random(0)

    def way(once: float) -> Way:
        scores = sorted(drawn.uniform(0.3, 0.99) for _ in range(4))
        return Way(list(zip((20, 100, 500, 2000), scores, (0.5, 1.0, 4.0, 9.0), strict=True)), once)

    for _ in range(200):
        shared, other = way(drawn.uniform(0, 1e5)), way(0.0)
        prices, score = Prices(drawn.uniform(0, 2), drawn.uniform(0, 5)), drawn.uniform(0.3, 1)
        tasks = break_even(shared, other, score, prices)
        own, others = price_each(shared, score, prices), price_each(other, score, prices)
        if own is None:
            assert tasks is None
        elif others is None:
            assert tasks == 0
        elif tasks is None:
            assert own >= others
        else:
            assert price_once(shared, prices) + tasks * own == pytest.approx(tasks * others)


def test_the_verb_says_what_is_wrong() -> None:
    for given, said in (
        (["--labels", "many"], "takes numbers"),
        (["--systems", "tfidf"], "did you mean 'tf-idf'"),
    ):
        answer = CliRunner().invoke(app, ["head-start", "m", "--data", "d", "--out", "o", *given])
        assert isinstance(answer.exception, HeadstartError)
        assert said in str(answer.exception)
