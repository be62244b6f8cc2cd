"""Answers as spans: aligned with their context, found over windows, refused where there is none."""

import json
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from headstart.errors import HeadstartError
from headstart.interchange.model_folder import load_model
from headstart.tasks.data.dataset import load_examples, load_task
from headstart.tasks.examples import Answer, Examples
from headstart.tasks.finetuning.finetune import finetune
from headstart.tasks.finetuning.finetune_recipe import FinetuneRecipe
from headstart.tasks.kinds.kind import Unusable
from headstart.tasks.kinds.packing import EncodedWindow
from headstart.tasks.kinds.question_answering import LONGEST_ANSWER, QuestionAnswering, best_span
from headstart.tasks.metrics import score
from headstart.tasks.predictor import Predictor

QA = QuestionAnswering()
COLUMNS = {"question": "question", "context": "context", "answers": "answers"}


def read(context, answers, remarks=None, **more):
    row = {"question": "Who?", "context": context, "answers": answers} | more
    columns = COLUMNS | ({"impossible": "is_impossible"} if "is_impossible" in more else {})
    return QA.read_target(
        "file line 7", row, columns, ("Who?", context), remarks if remarks is not None else Counter()
    )


@given(st.text("ab c\u0301é👍🏽.\n ", min_size=1, max_size=120), st.data(), st.integers(14, 40))
def test_targets_are_the_tokens_of_the_answer(tokenizer, context, data, most):
    start = data.draw(st.integers(0, len(context) - 1))
    end = data.draw(st.integers(start + 1, min(len(context), start + 12)))
    if not context[start:end].strip():
        return
    (answer,) = read(context, {"text": [context[start:end]], "answer_start": [start]})
    assert context[answer.start : answer.start + len(answer.text)] == answer.text
    assert answer.start <= start
    assert answer.start + len(answer.text) >= end
    train = Examples("question-answering", [("Who?", context)], [(answer,)])
    pieces = QA.encode(tokenizer, train.inputs, most)
    held = 0
    for piece, target in zip(pieces, QA.targets(train, pieces, ["start", "end"]), strict=True):
        first, last = target[0].tolist()
        if (first, last) == (0, 0):
            continue
        held += 1
        assert piece.spans[first, 0] <= answer.start
        assert piece.spans[last, 1] >= answer.start + len(answer.text)
        assert piece.spans[first, 1] > answer.start  # no token too many on either side
        assert piece.spans[last, 0] < answer.start + len(answer.text)
    assert held or len(pieces) > 1


@given(st.integers(1, 300), st.integers(14, 60))
def test_every_token_of_the_context_is_answered_for_once(tokenizer, words, most):
    context = " ".join(f"w{n}" for n in range(words))
    pieces = QA.encode(tokenizer, [("Where?", context)], most)
    own = [span for piece in pieces for span in piece.spans[1:][piece.own[1:]].tolist()]
    assert own == tokenizer.encode_spans(context)[1].tolist()
    assert all(len(piece.ids) <= most for piece in pieces)


outputs = st.integers(1, 12).flatmap(
    lambda n: st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=n + 1, max_size=n + 1)
)


@given(st.lists(outputs, min_size=1, max_size=3), st.booleans())
def test_best_span_is_that_of_plain_loops(given_outputs, may_refuse):
    windows, expected, nothing = [], [], []
    for number, pairs in enumerate(given_outputs):
        size = len(pairs) - 1
        spans = np.array([[0, 0], *([100 * number + i, 100 * number + i + 1] for i in range(size))])
        own = np.array([True, *(i % 3 != 2 for i in range(size))])
        piece = EncodedWindow(np.zeros(1), np.zeros(1), 0, spans=spans, own=own)
        windows.append((piece, np.array(pairs, dtype=np.float32)))
        nothing.append(sum(pairs[0]))
        for i in range(size):
            for j in range(i, min(size, i + LONGEST_ANSWER)):
                if own[1 + i]:
                    expected.append(
                        (pairs[1 + i][0] + pairs[1 + j][1], 100 * number + i, 100 * number + j + 1)
                    )
    found = best_span(windows, may_refuse)
    best = max(one[0] for one in expected)
    assert (found.start, found.end) in [one[1:] for one in expected if one[0] == best]
    assert found.answered == (best > min(nothing) or not may_refuse)
    assert found.margin == best - min(nothing)
    assert 0 < found.probability <= 1 + 1e-6


def test_answers_as_data_sets_write_them():
    context = "Anna met Ben. Ben left."
    assert read(context, {"text": ["Ben"], "answer_start": [14]}) == (Answer("Ben", 14),)
    assert read(context, [{"text": "Anna", "answer_start": 0}]) == (Answer("Anna", 0),)
    assert read(context, "Anna") == (Answer("Anna", 0),)
    assert read(context, {"text": [], "answer_start": []}) == ()
    marked = Counter()
    for yes in (True, "True", "TRUE", 1, "1", 1.0, "1.0", "yes", "Y", "t"):
        assert read(context, "Ben", marked, is_impossible=yes) == (), yes
    assert marked == {"questions are marked as impossible, so that their answers are not learned": 10}
    for no in (False, "False", "false", 0, "0", "0.0", "no", "N", "f", "", None, float("nan")):
        assert read(context, "Anna", is_impossible=no) == (Answer("Anna", 0),), no
    with pytest.raises(Unusable, match="neither yes nor no"):
        read(context, "Anna", is_impossible="maybe")
    remarks = Counter()
    assert read(context, {"text": ["Ben"], "answer_start": [15]}, remarks) == (Answer("Ben", 14),)
    assert read(context, {"text": ["Ben"], "answer_start": [-4]}, remarks) == (Answer("Ben", 9),)
    assert remarks.total() == 2
    accent = "Caf" + "e\u0301 open"
    assert read(accent, {"text": ["Cafe"], "answer_start": [0]}, remarks) == (Answer("Cafe\u0301", 0),)
    with pytest.raises(Unusable, match="does not occur"):
        read(context, {"text": ["Clara"], "answer_start": [0]})
    for wrong in (
        {"text": ["Ben"], "answer_start": []},
        [3],
        {"texts": 1},
        {"text": [3], "answer_start": [0]},
    ):
        with pytest.raises(HeadstartError, match="file line 7"):
            read(
                context,
                wrong
                if wrong != {"text": ["Ben"], "answer_start": []}
                else {"text": ["B"], "answer_start": [1, 2]},
            )


def squad(path, version):
    article = {
        "title": "Ships",
        "paragraphs": [
            {
                "context": "The ship left Bergen in May. It was old.",
                "qas": [
                    {
                        "id": "1",
                        "question": "When?",
                        "answers": [{"text": "May", "answer_start": 24}],
                        "is_impossible": "False",  # as a tool wrote it
                    },
                    {"id": "2", "question": "Who?", "answers": [], "is_impossible": True},
                    {"id": "3", "question": "Where?", "answers": [{"text": "Oslo", "answer_start": 14}]},
                ],
            }
        ],
    }
    path.write_text(
        json.dumps({"version": version, "data": [article]}, indent=1 if version == "1.1" else None)
    )
    return path


@pytest.mark.parametrize("version", ["1.1", "v2.0"])
def test_reads_squad(tmp_path, version):
    examples = load_examples(squad(tmp_path / "train.json", version))
    assert examples.task == "question-answering"
    assert examples.targets == [(Answer("May", 24),), ()]
    assert [question for question, _ in examples.inputs] == ["When?", "Who?"]
    assert len(set(examples.groups)) == 1
    assert any(
        "does not occur in its context left out (the first: line 3)" in note for note in examples.notes
    )
    (tmp_path / "broken.json").write_text('{"data": [{"paragraphs": [{"qas": [{"question": "x"}]}]}]}')
    with pytest.raises(HeadstartError, match="not SQuAD's JSON"):
        load_examples(tmp_path / "broken.json")


def places_and_times(count=90, context_words=12):
    """Contexts that name a number and a harbour; the question tells which of them is asked for."""
    inputs, targets = [], []
    towns = ["Bergen", "London", "Lisbon", "Cadiz", "Bremen"]
    for number in range(count):
        town, many = towns[number % 5], str(10 + number % 37)
        filler = " ".join(["the ship and the wave"] * (number % (context_words // 4)))
        context = f"{filler} town {town} crew {many} {filler}".strip()
        if number % 3 == 0:
            inputs.append(("What town?", context))
            targets.append((Answer(town, context.index(town)),))
        elif number % 3 == 1:
            inputs.append(("What crew?", context))
            targets.append((Answer(many, context.index(many)),))
        else:
            inputs.append(("What captain?", context))
            targets.append(())
    return Examples("question-answering", inputs, targets)


def test_learns_to_answer_and_to_refuse(tmp_path, encoder):
    train = places_and_times()
    recipe = FinetuneRecipe(learning_rate=4e-3, min_steps=250, max_steps=250, max_tokens=32, hidden_tokens=0)
    predictor = finetune(encoder, train, recipe, seed=0)
    assert predictor.training.windowed_examples > 0
    f1, _ = score("question-answering", train.targets, predictor.predict(train.inputs))
    assert f1.value > 0.8
    predictor.save(tmp_path / "model", "# Ships")
    loaded = Predictor.of(load_model(tmp_path / "model"))
    assert loaded.answers(train.inputs[:9]) == predictor.answers(train.inputs[:9])
    question, context = train.inputs[0]
    found = loaded.answers([{"question": question, "context": context}])[0]
    assert context[found["start"] : found["end"]] == found["answer"]
    with pytest.raises(HeadstartError, match="a question comes with its context"):
        loaded.answers(["What town?"])


def test_transformers_gives_the_same_scores(tmp_path, tiny, tokenizer):
    transformers = pytest.importorskip("transformers")
    from headstart.interchange.model_folder import LoadedModel
    from headstart.tasks.kinds.packing import pack

    train = places_and_times(12, 4)
    for family in ("bert", "headstart-encoder", "gpt2", "t5"):
        loaded = LoadedModel(tiny(family, feedforward_width=128, context=64), tokenizer, "features")
        predictor = finetune(loaded, train, FinetuneRecipe(min_steps=2, max_steps=2, max_tokens=48), seed=1)
        predictor.save(tmp_path / family, "# Ships")
        model = transformers.AutoModelForQuestionAnswering.from_pretrained(tmp_path / family).eval()
        for one in train.inputs[:3]:
            (piece,) = QA.encode(tokenizer, [one], 48)
            row = {"input_ids": torch.from_numpy(piece.ids)[None]}
            if family == "bert":
                row["token_type_ids"] = torch.from_numpy(piece.types)[None]
            with torch.no_grad():
                theirs = model(**row)
                ours = predictor.model(pack([piece]))
            assert torch.allclose(ours[:, 0], theirs.start_logits[0, piece.heads], atol=1e-4)
            assert torch.allclose(ours[:, 1], theirs.end_logits[0, piece.heads], atol=1e-4)


def test_contexts_stay_on_one_side_of_a_split(tmp_path):
    rows = [
        {
            "question": f"q {n}?",
            "context": f"context {n // 4} says x",
            "answers": {"text": ["x"], "answer_start": [14 + len(str(n // 4)) - 1 + 1]},
        }
        for n in range(80)
    ]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = load_task(tmp_path / "a.jsonl")
    assert len(task.test) == 16
    assert not {c for _, c in task.train.inputs} & {c for _, c in task.test.inputs}
