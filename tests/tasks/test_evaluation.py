"""Reports on task models, checkpoints of runs, and the verb `evaluate`."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from typer.testing import CliRunner

from headstart.cli import app
from headstart.errors import HeadstartError
from headstart.evaluation.error_tables import show_errors
from headstart.evaluation.evaluation import EvaluationSettings, evaluate
from headstart.evaluation.report import Evaluation, by_length, slices
from headstart.interchange.model_folder import load_model
from headstart.models.vectors.word_vectors import WordVectors
from headstart.tasks.examples import Answer, Choices, Examples
from headstart.tasks.finetuning.finetune import finetune
from headstart.tasks.finetuning.finetune_recipe import FinetuneRecipe
from headstart.tasks.metrics.labels import accuracy
from headstart.training import run_folder
from headstart.training.loop import pretrain
from headstart.training.recipe import PretrainRecipe
from headstart.training.restore import load_any

RECIPE = FinetuneRecipe(learning_rate=3e-3, min_steps=25, max_steps=25, max_tokens=48)


def write(path, names, examples):
    rows = zip(examples.inputs, examples.targets, strict=True)
    path.write_text(
        "".join(
            json.dumps(dict(zip(names, row, strict=True)) | {"half": number % 2}) + "\n"
            for number, row in enumerate(rows)
        )
    )
    return path


@pytest.fixture(scope="module")
def classifier(encoder, places):
    return finetune(encoder, places.subset(range(60)), RECIPE, 0).as_loaded()


@pytest.fixture(scope="module")
def tagger(encoder, speech):
    return finetune(encoder, speech.subset(range(50)), RECIPE, 0).as_loaded()


def test_report_on_labels(classifier, places, tmp_path):
    wrong = places.subset(range(60, 120))
    wrong.targets[:6] = ["home" if target == "sea" else "sea" for target in wrong.targets[:6]]
    data = write(tmp_path / "places.jsonl", ("text", "label"), wrong)
    train = write(tmp_path / "learn.jsonl", ("text", "label"), places.subset(range(60)))
    found = evaluate(classifier, str(data), EvaluationSettings(train=train))
    figures = {(row["system"], row["metric"]): row for row in found.scores}
    metrics = ["accuracy", "macro F1", "MCC", "calibration error", "Brier"]
    assert [row["metric"] for row in found.scores if row["system"] == "model"] == metrics
    assert {system for system, _ in figures} == {"model", "majority", "tf-idf"}
    assert figures["model", "accuracy"]["n"] == 60
    assert figures["model", "accuracy"]["value"] >= 0.8
    assert {row["against"] for row in found.comparisons} == {"majority", "tf-idf"}
    against = next(row for row in found.comparisons if row["against"] == "majority")
    difference = figures["model", "accuracy"]["value"] - figures["majority", "accuracy"]["value"]
    assert against["difference"] == pytest.approx(difference)
    matrix = found.tables["confusion (true labels down, predicted across)"]
    assert sum(row["home"] + row["sea"] for row in matrix) == 60
    errors = found.tables["most confident errors"]
    assert len(errors) == 60 - sum(row[row["true"]] for row in matrix) >= 5
    assert all(row["true"] != row["predicted"] for row in errors)
    assert [row["probability"] for row in errors] == sorted((r["probability"] for r in errors), reverse=True)
    halves = [row for row in found.tables["slices"] if row["slice"] == "half"]
    assert [row["examples"] for row in halves] == [30, 30]
    assert sum(row["value"] for row in halves) / 2 == pytest.approx(figures["model", "accuracy"]["value"])
    recall = {row["label"]: row["recall"] for row in found.tables["labels"]}
    assert recall == {
        row["true"]: pytest.approx(row[row["true"]] / (row["home"] + row["sea"])) for row in matrix
    }
    text = found.markdown()
    assert "### Most confident errors" in text
    assert all(f"| {row['slice']} | {row['is']} |" in text for row in halves)


def test_report_on_tags(tagger, speech, tmp_path):
    test = speech.subset(range(50, 80))
    found = evaluate(tagger, str(write(tmp_path / "speech.jsonl", ("tokens", "tags"), test)))
    assert [row["metric"] for row in found.scores if row["system"] == "model"] == [
        "token accuracy", "macro F1", "calibration error",
    ]  # fmt: skip
    assert sum(row["words"] for row in found.tables["tags"]) == sum(map(len, test.targets))
    assert "the majority is that of these examples" in found.rule
    named = speech.subset(range(50, 80))
    named.targets[:] = [["B-X" if tag == "NOUN" else "O" for tag in tags] for tags in named.targets]
    with pytest.raises(HeadstartError, match="knows none of the labels"):
        evaluate(tagger, str(write(tmp_path / "named.jsonl", ("tokens", "tags"), named)))


def test_report_on_entities(encoder, speech, tmp_path):
    named = speech.subset(range(80))
    named.targets[:] = [
        ["B-THING" if tag == "NOUN" else "B-ACT" if tag == "VERB" else "O" for tag in tags]
        for tags in named.targets
    ]
    model = finetune(encoder, named.subset(range(50)), RECIPE, 0).as_loaded()
    test = named.subset(range(50, 80))
    found = evaluate(model, f"labels:{write(tmp_path / 'named.jsonl', ('tokens', 'tags'), test)}")
    metrics = ["entity F1", "token accuracy", "entity precision", "entity recall", "calibration error"]
    assert [row["metric"] for row in found.scores if row["system"] == "model"] == metrics
    assert {row["kind"]: row["entities"] for row in found.tables["kinds of entities"]} == {
        "THING": 30,
        "ACT": 30,
    }


def test_report_on_questions():
    inputs = [(f"Question {number}?", "The ship waits in the harbour.") for number in range(6)]
    truth = [
        (Answer("ship", 4),),
        (Answer("The ship", 0), Answer("ship", 4)),
        (),
        (),
        (Answer("waits", 9),),
        (),
    ]
    said = ["ship", "The ship", "", "harbour", "", ""]
    answers = [{"answer": one, "probability": 0.5 + number / 20} for number, one in enumerate(said)]
    result = Evaluation("qa", "question-answering", "")
    examples = Examples("question-answering", inputs, truth)
    beside = show_errors(examples, said, answers, result)
    assert [(one.metric, one.value) for one in beside] == [("answerable or not", pytest.approx(4 / 6))]
    halves = {(row["questions"], row["metric"]): row["value"] for row in result.tables["answerable or not"]}
    assert halves["answerable", "exact match"] == pytest.approx(2 / 3)
    assert halves["without answer", "answer F1"] == pytest.approx(2 / 3)
    wrong = [(row["right"], row["given"]) for row in result.tables["most confident errors"]]
    assert wrong == [("waits", "(no answer)"), ("(no answer)", "harbour")]


def test_report_on_several_labels_numbers_and_choices():
    result = Evaluation("several", "multi-label", "")
    examples = Examples("multi-label", ["one", "two"], [("a", "b"), ()])
    answers = [{"distance": 0.5}, {"distance": 1.5}]
    found = show_errors(examples, [("a",), ("b", "c")], answers, result)
    assert [(one.metric, one.value) for one in found] == [("Brier", 1.0)]
    assert result.tables["most labels wrong"] == [
        {"missing": "", "too many": "b, c", "text": "two"},
        {"missing": "b", "too many": "", "text": "one"},
    ]
    assert {row["label"]: row["recall"] for row in result.tables["labels"]} == {"a": 1, "b": 0, "c": 0}
    result = Evaluation("numbers", "regression", "")
    show_errors(Examples("regression", [("x", "y"), "z"], [1.0, 2.0]), [3.0, 2.0], [{}, {}], result)
    assert result.tables["largest errors"] == [{"true": 1.0, "predicted": 3.0, "text": "x / y"}]
    result = Evaluation("choices", "multiple-choice", "")
    problem = Choices("Which?", ("this", "that"))
    answers = [{"probability": 0.9}, {"probability": 0.8}]
    show_errors(Examples("multiple-choice", [problem, problem], [0, 1]), [1, 1], answers, result)
    assert result.tables["most confident errors"] == [
        {"right": "this", "chosen": "that", "probability": 0.9, "text": "Which?"}
    ]


def test_slices():
    truth, predicted = list("aabbaabbab"), list("aabbbbaaab")
    measured = accuracy(truth, predicted)
    found = slices(measured, {"source": ["x"] * 4 + ["y"] * 6, "id": list(range(10)), "none": [None] * 10})
    assert [(row["is"], row["value"], row["n"]) for row in found] == [("y", pytest.approx(1 / 3), 6)]
    assert len({*by_length(list(range(30)), "words")}) == 3
    assert {*by_length([3] * 4, "words")} == {""}


@pytest.fixture(scope="module")
def run(tokens, tmp_path_factory):
    """A run of six steps with a checkpoint every two."""
    model = {"family": "headstart-decoder", "layers": 1, "width": 32, "heads": 2, "feedforward_width": 48}
    settings = {"tokens": tokens, "model": model, "objective": {"kind": "causal"}, "context": 32, "rows": 4}
    settings |= {"micro_rows": 4, "steps": 6, "checkpoint_every": 2, "keep_checkpoints": 3}
    settings |= {"evaluate_rows": 8, "optimiser": {"average": 0.9}}
    folder = tmp_path_factory.mktemp("run") / "decoder"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_folder, "describe_machine", lambda: {})
        pretrain(PretrainRecipe.model_validate(settings), folder)
    return folder


def test_any_state_of_a_run(run, tmp_path):
    whole = load_model(run)
    ids = torch.arange(20)[None] + 30
    expected = whole.model(ids)
    for folder in (run, run / "model", run / "checkpoints" / "step-6"):
        loaded = load_any(folder)
        assert loaded.head == "causal"
        torch.testing.assert_close(loaded.model(ids), expected)
        assert loaded.tokenizer.sha256 == whole.tokenizer.sha256
        assert loaded.tokenizer.with_special([5]) == whole.tokenizer.with_special([5])
        assert loaded.unfinished == ("step 6 of 6" if folder.name == "step-6" else None)
    assert not torch.equal(load_any(run / "checkpoints" / "step-2").model(ids), expected)
    (run / "model").rename(tmp_path / "model")
    try:  # a run that has not finished is its last checkpoint
        torch.testing.assert_close(load_any(run).model(ids), expected)
        assert load_any(run).unfinished == "step 6 of 6"
    finally:
        (tmp_path / "model").rename(run / "model")


@pytest.mark.parametrize("verb", ["generate", "evaluate", "data", "finetune", "predict", "fill-mask"])
def test_every_verb_takes_a_checkpoint_and_says_so(run, tmp_path, verb):
    checkpoint = str(run / "checkpoints" / "step-4")
    (tmp_path / "mails.csv").write_text("text,label\n" + "win a prize,spam\nsee you,ham\n" * 6)
    (tmp_path / "text.txt").write_text("It was a dark night.\n")
    data = str(tmp_path / "mails.csv")
    arguments = {
        "generate": [checkpoint, "It was", "--max-new-tokens", "2"],
        "evaluate": [checkpoint, "--on", f"text:{tmp_path / 'text.txt'}"],
        "data": ["check", data, "--model", checkpoint],
        "finetune": [checkpoint, "--data", data, "--test", data, "--out", str(tmp_path / "out"), "epochs=1"],
        "predict": [checkpoint, data],
        "fill-mask": [checkpoint, "It was <mask>."],
    }
    refused = {"predict": "knows no labels yet", "fill-mask": "masked"}  # as the finished model would be
    done = CliRunner().invoke(app, [verb, *arguments[verb]])
    assert f"{checkpoint} is not finished: this is step 4 of 6" in done.stderr
    assert refused.get(verb, "None") in str(done.exception)


def test_a_second_model_is_not_passed_over_in_silence(run, tmp_path):
    (tmp_path / "text.txt").write_text("It was a dark night.\n")
    with pytest.raises(HeadstartError, match="--beside compares task models on labelled data, and text:"):
        evaluate(load_any(run), f"text:{tmp_path / 'text.txt'}", EvaluationSettings(beside=(run,)))


def test_what_a_folder_names_stays_within(run, tmp_path):
    """A checkpoint names its tokens; whoever serves a folder opens nothing outside of it."""
    last = run / "checkpoints" / "step-6"
    tokens = Path(yaml.safe_load((run / "recipe.yaml").read_text())["tokens"])
    assert load_any(last, within=[run, tokens]).head == "causal"
    with pytest.raises(HeadstartError, match=r"recipe.yaml names .*, which lies outside of"):
        load_any(last, within=[run])
    link = tmp_path / "link"
    link.symlink_to(run)
    with pytest.raises(HeadstartError, match="lies outside of"):
        load_any(link, within=[tmp_path])
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "/etc"}))
    with pytest.raises(HeadstartError, match=r"adapter_config.json names /etc, which lies outside of"):
        load_any(tmp_path / "adapter", within=[tmp_path])


def test_a_run_without_a_checkpoint_says_what_to_wait_for(run, tmp_path):
    begun = tmp_path / "begun"
    begun.mkdir()
    for name in ("recipe.yaml", "run.json", "metrics.jsonl"):
        shutil.copy(run / name, begun / name)
    with pytest.raises(HeadstartError, match=r"no model yet; .*`headstart control .*begun checkpoint`"):
        load_any(begun)


def test_word_vectors_are_no_model(tmp_path):
    WordVectors(["sea"], np.ones(1), np.ones((1, 2))).save(tmp_path / "run" / "model")
    for folder in (tmp_path / "run", tmp_path / "run" / "model"):
        with pytest.raises(HeadstartError, match="holds word vectors, and no Transformer"):
            load_any(folder)
    with pytest.raises(HeadstartError, match="there is no model folder"):
        load_any(tmp_path / "none")


def test_broken_checkpoints(run, tmp_path):
    lost = tmp_path / "step-6"
    shutil.copytree(run / "checkpoints" / "step-6", lost)
    with pytest.raises(HeadstartError, match="a checkpoint without its run"):
        load_any(lost)
    broken = tmp_path / "run" / "checkpoints" / "step-4"
    shutil.copytree(run / "checkpoints" / "step-4", broken)
    shutil.copy(run / "recipe.yaml", tmp_path / "run" / "recipe.yaml")
    (broken / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(HeadstartError, match="is damaged"):
        load_any(broken)
    recipe = (run / "recipe.yaml").read_text().splitlines()
    recipe = ["tokens: nowhere/tokens" if line.startswith("tokens:") else line for line in recipe]
    (tmp_path / "run" / "recipe.yaml").write_text("\n".join(recipe))
    with pytest.raises(HeadstartError, match="nowhere/tokens is not there"):
        load_any(broken)


def test_command_line(run, documents, tmp_path):
    (tmp_path / "own.txt").write_text(documents[3]["text"])
    problems = [{"question": "The captain", "choices": ["of", "it"], "answer": 0}]
    (tmp_path / "quiz.jsonl").write_text("".join(json.dumps(row) + "\n" for row in problems))
    command = ["evaluate", str(run / "checkpoints" / "step-4"), "--on", str(tmp_path / "own.txt")]
    command += ["--on", str(tmp_path / "quiz.jsonl"), "--stride", "8", "--out", str(tmp_path / "report")]
    done = CliRunner().invoke(app, [*command, "--json"], catch_exceptions=False)
    figures = json.loads(done.stdout)
    assert [one["kind"] for one in figures["evaluations"]] == ["text", "choices"]
    assert json.loads((tmp_path / "report" / "evaluation.json").read_text()) == figures
    assert "## quiz.jsonl" in (tmp_path / "report" / "evaluation.md").read_text()
    shown = CliRunner().invoke(app, command, catch_exceptions=False).stdout
    assert "bits per byte" in shown
    assert "that move by 8" in shown
    with pytest.raises(HeadstartError, match="no device 'tpu'"):
        CliRunner().invoke(app, [*command, "--device", "tpu"], catch_exceptions=False)
    with pytest.raises(HeadstartError, match="there is no file"):
        CliRunner().invoke(app, [*command[:2], "--on", "text:none.txt"], catch_exceptions=False)
