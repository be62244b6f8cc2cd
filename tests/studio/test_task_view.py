"""The Task view: what `evaluate` says, in parts; each kind of task; labels corrected beside the data."""

import json
import math
import shutil

import numpy as np
import pytest

from headstart.errors import HeadstartError
from headstart.evaluation.answer_influence import influence_on_answer
from headstart.evaluation.label_evaluation import evaluate_labels
from headstart.interchange.model_folder import LoadedModel
from headstart.studio import corrections, frames
from headstart.studio.looks import task
from headstart.tasks.data.dataset import load_examples
from headstart.tasks.finetuning.finetune import finetune
from headstart.tasks.finetuning.finetune_recipe import FinetuneRecipe
from headstart.training.metrics import Metrics

API = "/api/v1"
QUICK = FinetuneRecipe(min_steps=3, max_steps=3, max_tokens=48, counted_words="none")
SEA = ["captain", "ship", "harbour", "wave", "sailor", "anchor"]
HOME = ["kitchen", "garden", "window", "table", "chair", "carpet"]


def row_of(kind: str, n: int) -> dict:
    first, second = (SEA, HOME)[n % 2], (SEA, HOME)[n // 2 % 2]
    text = f"The {first[n % 6]} and the {second[n % 5]} of number {n}."
    beside = {
        "domain": ("prose", "verse")[n // 3 % 2],
        "text" if kind == "tagging" else "note": f"<b>{n}</b>",
    }
    match kind:
        case "classification":
            return {"text": text, "label": "sea" if first is SEA else "<i>home</i>"} | beside
        case "pairs":
            return {"text_a": text, "text_b": second[n % 6], "label": n % 2} | beside
        case "multi-label":
            return {
                "text": text,
                "labels": sorted({"home" if one is HOME else "sea" for one in (first, second)}),
            }
        case "regression":
            return {"text": text, "score": n / 4} | beside
        case "tagging":
            words = text.split()
            return {
                "tokens": words,
                "tags": ["B-X" if word in SEA else "O" for word in words],
                "domain": "prose",
            }
        case "question-answering":
            found = [first[n % 6]] if n % 3 else []
            return {"question": "Which?", "context": text, "answers": {"text": found}}
        case "multiple-choice":
            return {"question": text, "options": [first[0], second[1], "none"], "answer": n % 3 + 1}
        case "embedding":
            return {"text_a": text, "text_b": second[n % 6], "score": n % 5} | beside
        case "text-to-text":
            return {"input": text, "target": first[n % 6]} | beside
    return {"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": first[n % 6]}]}


KINDS = [
    "classification", "pairs", "multi-label", "regression", "tagging", "question-answering",
    "multiple-choice", "embedding", "text-to-text", "chat",
]  # fmt: skip


@pytest.fixture(scope="module")
def fitted(tiny, tokenizer, tmp_path_factory):
    """By kind of task: a tiny model that has learned three steps, and the file of its data."""
    place = tmp_path_factory.mktemp("labelled")
    made = {}

    def make(kind: str):
        if kind not in made:
            data = place / f"{kind}.jsonl"
            data.write_text("".join(json.dumps(row_of(kind, n)) + "\n" for n in range(24)), encoding="utf-8")
            named = {"pairs": "classification"}.get(kind, kind)
            writes = kind in ("text-to-text", "chat")
            loaded = LoadedModel(
                tiny("headstart-decoder" if writes else "headstart-encoder"), tokenizer,
                "causal" if writes else "masked",
            )  # fmt: skip
            predictor = finetune(loaded, load_examples(data, named), QUICK, seed=0)
            made[kind] = predictor, predictor.as_loaded(), data
        return made[kind]

    return make


def asked(data, **more):
    return {"data": data, "part": "all", "limit": 1000} | more


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_scored_as_evaluate_does_and_counted_once(fitted, kind) -> None:
    predictor, loaded, data = fitted(kind)
    fields, _ = task.answers(loaded, asked(data))
    said = evaluate_labels(predictor, data)
    model = [row for row in said.scores if row["system"] == "model"]
    np.testing.assert_equal(json.loads(json.dumps(fields["scores"])), json.loads(json.dumps(model)))
    np.testing.assert_equal(fields["slices"], said.tables["slices"])
    cells = fields["cells"]
    assert len(cells["places"]) == len(fields["examples"]) == 24
    for places in cells["places"]:
        assert all(row < len(cells["rows"]) and column < len(cells["columns"]) for row, column, _ in places)
    right = {tuple(one) for one in cells["right"]}
    for places, good in zip(cells["places"], cells["good"], strict=True):
        assert good == all((row, column) in right for row, column, _ in places)
    matrix = next((rows for name, rows in said.tables.items() if name.startswith("confusion")), [])
    for row in matrix:
        for name, count in row.items():
            if name != "true":
                at = cells["rows"].index(row["true"]), cells["columns"].index(name)
                assert count == sum(n for its in cells["places"] for r, c, n in its if (r, c) == at)
    one, _ = task.example(loaded, asked(data), 3)
    json.dumps(one)
    assert one["texts"]
    # A word is found in the whole text, and its score is that of those examples alone.
    found, _ = task.selected(loaded, asked(data), None, "NUMBER 3")
    if kind not in ("question-answering",):
        assert 3 in found["places"]
    every, _ = task.selected(loaded, asked(data), list(range(24)), "")
    assert every["score"]["value"] == model[0]["value"] or math.isnan(model[0]["value"])


@pytest.mark.parametrize("kind", KINDS)
def test_corrected_data_are_read_as_they_were_but_for_the_corrections(fitted, kind, tmp_path) -> None:
    """The new file has the old examples and columns; one label differs, and the user's file is as it was."""
    predictor, loaded, data = fitted(kind)
    before = data.read_bytes()
    value = {
        "classification": "lake", "pairs": "1", "multi-label": ["lake"], "regression": 7.5, "embedding": 2.5,
        "tagging": ["B-Y"] * len(row_of("tagging", 4)["tokens"]), "question-answering": "number 4",
        "multiple-choice": 2, "text-to-text": "a lake", "chat": "a lake",
    }[kind]  # fmt: skip
    one, _ = task.correction(loaded, asked(data), 4, value)
    assert one["line"] == 5
    given = [one, {**one, "line": 7}]  # the second is of another text
    fields, found = task.corrected(loaded, data, given)
    assert (fields["rows"], fields["changed"], fields["stale"]) == (24, 1, 1)
    new = tmp_path / "new.jsonl"
    new.write_bytes(found["content"].tobytes())
    named = {"pairs": "classification"}.get(kind, kind)
    old = load_examples(data, named)
    for again in (
        load_examples(new, named),
        load_examples(new, predictor.task, like=predictor.facts.reading),
    ):
        assert again.inputs == old.inputs
        differ = [place for place in range(24) if again.targets[place] != old.targets[place]]
        assert differ == ([] if kind == "pairs" and old.targets[4] == "1" else [4])
    assert data.read_bytes() == before
    if "domain" in row_of(kind, 0):
        assert json.loads(new.read_text().splitlines()[5])["domain"] == row_of(kind, 5)["domain"]
    with pytest.raises(HeadstartError):
        task.correction(loaded, asked(data), 4, {"no": "label"})


def test_what_a_word_is_worth_is_the_answer_without_it(fitted) -> None:
    predictor, _, _ = fitted("classification")
    text = "The ship and the garden."
    found = influence_on_answer(predictor, text)
    assert [text[word.start : word.end] for word in found.words] == [
        "The",
        "ship",
        "and",
        "the",
        "garden",
        ".",
    ]
    whole, without = predictor.probabilities([text, "The and the garden."])
    np.testing.assert_allclose(found.values[1], np.log(whole) - np.log(without), atol=1e-5)
    tagger, _, _ = fitted("tagging")
    words = ["The", "ship", "waits"]
    tags = influence_on_answer(tagger, words)
    assert np.isnan(tags.values.diagonal()).all()
    (whole,), (less,) = tagger.probabilities([words]), tagger.probabilities([["The", "waits"]])
    best = whole[2].argmax()
    assert tags.values[1, 2] == pytest.approx(np.log(whole[2, best]) - np.log(less[1, best]), abs=1e-5)
    for kind in ("regression", "question-answering", "multiple-choice", "embedding", "multi-label", "pairs"):
        predictor, _, data = fitted(kind)
        given = load_examples(data, predictor.task).inputs[1]
        values = influence_on_answer(predictor, given).values
        assert np.isfinite(values).all(), kind
    with pytest.raises(HeadstartError, match="writes its answers"):
        influence_on_answer(fitted("text-to-text")[0], text)


def test_corrections_are_kept_beside_the_data_and_taken_back(tmp_path) -> None:
    data = tmp_path / "data.csv"
    data.write_text("text,label\na,b\n", encoding="utf-8")
    one = {"line": 9, "input": "x", "was": "a", "becomes": "b", "value": "b"}
    corrections.keep(data, 9, one)
    corrections.keep(data, 2, {**one, "line": 2})
    corrections.keep(data, 9, {**one, "becomes": "c"})
    assert [(kept["line"], kept["becomes"]) for kept in corrections.read(data)] == [(2, "b"), (9, "c")]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data.csv", "data.csv.corrections"]
    corrections.keep(data, 2, None)
    corrections.keep(data, 9, None)
    assert corrections.read(data) == []
    assert [path.name for path in tmp_path.iterdir()] == ["data.csv"]
    corrections.place_of(data).write_text('{"format": "else"}', encoding="utf-8")
    with pytest.raises(HeadstartError, match="move it away"):
        corrections.keep(data, 2, one)


@pytest.mark.parametrize(
    "names", [("{}.train.jsonl", "{}.test.jsonl"), ("{}-training.jsonl", "{}-eval.jsonl")]
)
def test_the_test_part_that_fine_tuning_finds_is_taken_first(studio, labelled_root, names) -> None:
    """A fine-tuning that had a test file set nothing apart; the view opens on what scored it, be it found
    beside the training file, as `finetune` finds it, or named by --test."""
    run = json.loads((labelled_root / "places" / "run.json").read_text())
    train, test = (labelled_root / "labels" / name.format("parted") for name in names)
    for path in (train, test):
        shutil.copy(labelled_root / "labels" / "places.jsonl", path)
    shutil.copytree(labelled_root / "places", labelled_root / "parted")
    (labelled_root / "labels" / "hashes.json").write_text("{}")

    def listed(**facts):
        (labelled_root / "parted" / "run.json").write_text(json.dumps(run | {"data": str(train)} | facts))
        found = studio.get(f"{API}/task/data", params={"at": "parted"}).json()
        assert "labels/hashes.json" not in {one["at"] for one in found["files"]}
        labels = [one for one in found["files"] if one["at"].startswith("labels/")]
        return [(one["at"], one["own"], one["scored"]) for one in labels[:2]], found["tested"]

    own = (f"labels/{train.name}", True, False)
    try:
        assert listed() == ([(f"labels/{test.name}", False, True), own], 0)
        named = labelled_root / "labels" / "places.jsonl"
        assert listed(test=str(named)) == ([("labels/places.jsonl", False, True), own], 0)
        assert listed(test="/elsewhere.jsonl")[1] == 0  # it was scored on what is not to be seen
        test.unlink()
        assert listed() == ([own, ("labels/places.jsonl", False, False)], 18)
    finally:
        for path in (train, test, labelled_root / "labels" / "hashes.json"):
            path.unlink(missing_ok=True)
        shutil.rmtree(labelled_root / "parted")


def test_the_routes_correct_export_and_refuse(studio, labelled_root) -> None:
    listed = studio.get(f"{API}/task/data", params={"at": "places"}).json()
    assert next((one["at"], one["own"]) for one in listed["files"]) == ("labels/places.jsonl", True)
    body = {"at": "places", "data": "labels/places.jsonl"}
    fields, _ = frames.decode(studio.post(f"{API}/task/answers", json=body | {"part": "test"}).content)
    scores = json.loads((labelled_root / "places" / "scores.json").read_text())["scores"]
    own = next(row for row in scores if row["system"] == "fine-tuned")
    assert fields["scores"][0]["value"] == pytest.approx(own["value"])
    assert fields["of"] == own["n"]
    data = labelled_root / "labels" / "places.jsonl"
    before = data.read_bytes()
    kept = studio.post(f"{API}/corrections", json=body | {"part": "test", "place": 0, "value": "lake"}).json()
    assert kept["corrections"][0]["becomes"] == "lake"
    assert studio.get(f"{API}/corrections", params={"data": body["data"]}).json() == kept
    made = studio.post(f"{API}/corrections/export", json=body | {"out": "labels/new.jsonl"}).json()
    assert (made["changed"], made["stale"]) == (1, 0)
    again = studio.post(f"{API}/corrections/export", json=body | {"out": "labels/new.jsonl"})
    assert "is there already" in again.json()["error"]["message"]
    for wrong in ("../out.jsonl", "labels/places.jsonl", "/etc/x.jsonl", "labels/x.csv"):
        assert studio.post(f"{API}/corrections/export", json=body | {"out": wrong}).status_code == 400, wrong
    assert data.read_bytes() == before
    line = kept["corrections"][0]["line"]
    left = studio.post(f"{API}/corrections/take-back", json={"data": body["data"], "line": line}).json()
    assert left["corrections"] == []
    (labelled_root / "labels" / "new.jsonl").unlink()
    wrong = studio.post(f"{API}/task/answers", json=body | {"at": "run"})
    assert "fine-tune it first" in wrong.json()["error"]["message"]


def test_a_fine_tuning_is_seen_while_it_learns_and_after(studio, labelled_root) -> None:
    """Its folder is listed with its first step, is live, and takes no commands; later it is a task model."""

    def listed(at: str) -> dict:
        return next(one for one in studio.get(f"{API}/folders").json() if one["at"] == at)

    learning = labelled_root / "learning"
    learning.mkdir()
    for name in ("recipe.yaml", "run.json", ".output.json"):
        shutil.copy(labelled_root / "places" / name, learning / name)
    metrics = Metrics(learning, 0, sinks=())
    metrics.write("step", 1, seconds=0.1, loss=0.7)
    metrics.write("evaluation", 1, seconds=0.1, score=0.5)
    metrics.close()
    try:
        found = listed("learning")
        assert (found["kind"], found["live"], found["course"]) == ("task", True, True)
        assert found["family"] is None, "no view of a model takes it yet"
        assert not studio.get(f"{API}/folder", params={"at": "learning"}).json()["steered"]
        fields, _ = frames.decode(studio.get(f"{API}/metrics", params={"at": "learning"}).content)
        assert fields["last"]["loss"] == 0.7
        assert fields["evaluations"][0]["score"] == 0.5
    finally:
        shutil.rmtree(learning)
    done = listed("places")
    assert (done["kind"], done["live"], done["course"]) == ("task", False, True)
    fields, _ = frames.decode(studio.get(f"{API}/metrics", params={"at": "places"}).content)
    assert (fields["steps"], fields["marks"][-1]["kind"]) == (40, "end")
