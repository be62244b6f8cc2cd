"""Scores come from what `predict` says of the raw file: for every kind of task both ways give the same
figures."""

import json
import random

import pytest

from headstart.evaluation.label_evaluation import evaluate_labels
from headstart.interchange.model_folder import LoadedModel
from headstart.tasks.data.dataset import load_examples
from headstart.tasks.file_prediction import predict_file
from headstart.tasks.finetuning.finetune import finetune
from headstart.tasks.finetuning.finetune_recipe import FinetuneRecipe
from headstart.tasks.metrics.correlation import pearson, spearman

PARTS = [
    "Paris",
    "Rome",
    "ship",
    "-based",
    "old",
    "é",
    "北京",
    "서울에",
    "'s",
    "👍🏽",
    "3,000",
    "U.S.",
    "#7",
    "on",
]
QUICK = FinetuneRecipe(min_steps=12, max_steps=12, epochs=1, learning_rate=3e-3, adapt="full")


def text(draw, least=3):
    return "".join(
        draw.choice(PARTS) + draw.choice(["", " ", " "]) for _ in range(draw.randint(least, 9))
    ).strip()


def spans(draw, sentence):
    """Names, and now and then a random span of characters, which may cut words."""
    few = 2 if draw.random() < 0.3 else 0
    places = sorted(draw.sample(range(len(sentence) + 1), few))
    found = []
    for a, b in zip(places[::2], places[1::2], strict=False):
        if sentence[a:b].strip():
            found.append({"start": a, "end": b, "label": draw.choice(["X", "Y"])})
    for name in ("Paris", "Rome"):
        at = sentence.find(name)
        if at >= 0 and all(at >= one["end"] or at + len(name) <= one["start"] for one in found):
            found += [{"start": at, "end": at + len(name), "label": "LOC"}] * 1
    return sorted(found, key=lambda one: one["start"])


def row(kind, draw, number):
    sentence = f"{text(draw)} {number}"
    match kind:
        case "classification":
            return {"text": sentence, "label": draw.choice(["a", "b"])}
        case "pairs":
            return {"premise": sentence, "hypothesis": text(draw), "label": draw.randint(0, 1)}
        case "multi-label":
            return {"text": sentence, "labels": draw.sample(["p", "q", "r"], draw.randint(0, 2))}
        case "regression":
            return {"text": sentence, "score": draw.random()}
        case "spans":
            return {"text": sentence, "entities": spans(draw, sentence)}
        case "tags":
            words = sentence.split()
            return {"tokens": words, "tags": [draw.choice(["O", "B-X", "I-X"]) for _ in words]}
        case "question-answering":
            start = draw.randrange(len(sentence))
            answer = sentence[start : start + 6].strip() or sentence[:3]
            answers = {"text": [answer], "answer_start": [sentence.index(answer)]}
            return {
                "question": text(draw),
                "context": sentence,
                "answers": answers if number % 3 else {"text": [], "answer_start": []},
            }
        case "multiple-choice":
            return {
                "question": sentence,
                "options": [text(draw) + str(i) for i in range(3)],
                "answer": draw.randrange(3),
            }
        case "embedding":
            return {"text_a": sentence, "text_b": text(draw), "score": draw.random()}
        case "text-to-text":
            return {"input": sentence, "target": text(draw)}
        case "chat":
            said = [{"role": "user", "content": sentence}, {"role": "assistant", "content": text(draw)}]
            return {"messages": said}
    raise ValueError(kind)


def f1(right, true, called):
    return 2 * right / (true + called) if true + called else 0.0


def figure(kind, rows, answers):
    """The task's main figure, counted from the raw rows and the lines that `predict` writes."""
    pairs = list(zip(rows, answers, strict=True))
    match kind:
        case "classification" | "pairs":
            return sum(str(one["label"]) == said["label"] for one, said in pairs) / len(pairs)
        case "multi-label":
            right = sum(len(set(one["labels"]) & set(said["labels"])) for one, said in pairs)
            return f1(
                right, sum(len(one["labels"]) for one in rows), sum(len(said["labels"]) for said in answers)
            )
        case "regression":
            return pearson([one["score"] for one in rows], [said["score"] for said in answers]).value
        case "embedding":
            return spearman([one["score"] for one in rows], [said["similarity"] for said in answers]).value
        case "spans":
            right = true = called = 0
            for one, said in pairs:
                wanted = {tuple(trimmed(one["text"], span)) for span in one["entities"]}
                got = {(span["start"], span["end"], span["label"]) for span in said["entities"]}
                right, true, called = right + len(wanted & got), true + len(wanted), called + len(got)
            return f1(right, true, called)
        case "tags":
            right = true = called = 0
            for one, said in pairs:
                wanted, got = chunks(one["tags"]), chunks(said["tags"])
                right, true, called = right + len(wanted & got), true + len(wanted), called + len(got)
            return f1(right, true, called)
        case "multiple-choice":
            return sum(one["answer"] == said["choice"] for one, said in pairs) / len(pairs)
    raise ValueError(kind)


def trimmed(sentence, span):
    part = sentence[span["start"] : span["end"]]
    start = span["start"] + len(part) - len(part.lstrip())
    return start, start + len(part.strip()), span["label"]


def chunks(tags):
    """Spans in BIO, read with a rule of its own: one begins at B-, and at I- behind another label."""
    found, start, label = set(), None, ""
    for place, tag in enumerate([*tags, "O"]):
        goes_on = tag.startswith("I-") and tag[2:] == label and start is not None
        if start is not None and not goes_on:
            found.add((start, place, label))
            start = None
        if tag != "O" and not goes_on:
            start, label = place, tag[2:]
    return found


SCORED = [
    "classification",
    "pairs",
    "multi-label",
    "regression",
    "spans",
    "tags",
    "multiple-choice",
    "embedding",
]


@pytest.mark.parametrize("kind", SCORED)
def test_evaluate_and_predict_agree(tmp_path, encoder, kind):
    draw = random.Random(sum(map(ord, kind)))
    rows = [row(kind, draw, number) for number in range(40)]
    for part, some in (("train", rows[:20]), ("test", rows[20:])):
        (tmp_path / f"{part}.jsonl").write_text("".join(json.dumps(one) + "\n" for one in some))
    task = "embedding" if kind == "embedding" else None
    predictor = finetune(encoder, load_examples(tmp_path / "train.jsonl", task), QUICK, 0)
    test = tmp_path / "test.jsonl"
    said = next(one["value"] for one in evaluate_labels(predictor, test).scores if one["system"] == "model")
    assert said == pytest.approx(figure(kind, rows[20:], list(predict_file(predictor, test))), abs=1e-6)


@pytest.mark.parametrize("kind", ["question-answering", "text-to-text", "chat"])
def test_texts_that_are_scored_are_those_that_predict_writes(tmp_path, encoder, tokenizer, tiny, kind):
    draw = random.Random(7)
    rows = [row(kind, draw, number) for number in range(16)]
    file = tmp_path / "a.jsonl"
    file.write_text("".join(json.dumps(one) + "\n" for one in rows))
    decoder = LoadedModel(tiny("headstart-decoder"), tokenizer, "causal")
    examples = load_examples(file)
    predictor = finetune(encoder if kind == "question-answering" else decoder, examples, QUICK, 0)
    answers = [one.get("answer", one.get("text", "")) for one in predict_file(predictor, file)]
    assert predictor.predict(examples.inputs) == answers


def test_chinese_spans_are_found_as_they_are_scored(tmp_path, encoder):
    rows = [
        {"text": f"我住在北京{i}。", "entities": [{"start": 3, "end": 5, "label": "LOC"}]} for i in range(30)
    ]
    file = tmp_path / "a.jsonl"
    file.write_text("".join(json.dumps(one) + "\n" for one in rows))
    examples = load_examples(file)
    assert examples.targets[0] == ["O", "O", "O", "B-LOC", "I-LOC", "O", "O"]
    recipe = FinetuneRecipe(min_steps=60, max_steps=60, epochs=1, learning_rate=3e-3)
    predictor = finetune(encoder, examples, recipe, 0)
    found = [one["entities"] for one in predict_file(predictor, file)]
    assert sum(any(e["text"] == "北京" for e in one) for one in found) > 25


def test_a_column_that_the_first_row_lacks_is_read_of_the_others(tmp_path, tokenizer, tiny):
    """Alpaca's `input` stands in some rows alone: what is scored and what is answered read it alike."""
    rows = [{"instruction": "say yes", "output": "yes"}]
    rows += [{"instruction": "say it", "input": f"no {n}", "output": f"no {n}"} for n in range(7)]
    file = tmp_path / "a.jsonl"
    file.write_text("".join(json.dumps(one) + "\n" for one in rows))
    examples = load_examples(file)
    assert examples.inputs[1].text == "user: say it\n\nno 0"
    decoder = LoadedModel(tiny("headstart-decoder"), tokenizer, "causal")
    predictor = finetune(decoder, examples, QUICK, 0)
    asked = []
    predictor.answers = lambda inputs: asked.extend(inputs) or [{} for _ in inputs]
    list(predict_file(predictor, file))
    assert asked == examples.inputs
