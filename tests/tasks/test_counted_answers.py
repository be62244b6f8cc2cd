"""Counted words that point at answers: rows of a context, what they tell, and the path beside a network."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from headstart.interchange.model_folder import load_model
from headstart.tasks import counted_path as path_module
from headstart.tasks.baselines.word_counts import CountedAnswers, NearestSentence, strongest_baseline
from headstart.tasks.counted_path import counted_path
from headstart.tasks.examples import Answer, Examples
from headstart.tasks.finetuning.finetune import finetune
from headstart.tasks.finetuning.finetune_recipe import FinetuneRecipe
from headstart.tasks.finetuning.network_share import network_share
from headstart.tasks.kinds.counted_answers import INSIDE, NOTHING, asked_features, pointed, rows_at, rows_of
from headstart.tasks.kinds.packing import scores_of_heads
from headstart.tasks.kinds.spans import words_in
from headstart.tasks.metrics import score
from headstart.tasks.predictor import Predictor
from headstart.tasks.reload_check import check, write_check

QUICK = FinetuneRecipe(min_steps=6, max_steps=6, max_tokens=48)
NAMES = [
    "Ann",
    "Bob",
    "Cora",
    "Dan",
    "Eve",
    "Finn",
    "Gus",
    "Hal",
    "Ida",
    "Jon",
    "Kim",
    "Lea",
    "Max",
    "Ned",
    "Ola",
    "Pia",
]
CITIES = [
    "Rome",
    "Oslo",
    "Bern",
    "Riga",
    "Lyon",
    "Graz",
    "Kyiv",
    "Nara",
    "Lima",
    "Bonn",
    "Cork",
    "Hilo",
    "Pune",
    "Ulm",
    "Vigo",
    "York",
]
ENGLISH = ("Where does {} live?", "Who lives in {}?", "{} lives in {}.", " ")
CHINESE = ("{}住在哪里？", "谁住在{}？", "{}住在{}。", "")


def questions(forms, first: int, count: int, without_answer: bool = False) -> Examples:
    """Questions after the city of a name, or the name in a city, of four sentences; every third asks after
    nobody there where `without_answer` says so."""
    random = np.random.default_rng(first)
    where, who, fact, gap = forms
    inputs, targets = [], []
    for number in range(count):
        people, cities = (random.permutation(all_of)[:5].tolist() for all_of in (NAMES, CITIES))
        context = gap.join(fact.format(*pair) for pair in zip(people[:4], cities[:4], strict=True))
        asked = 4 if without_answer and number % 3 == 0 else int(random.integers(4))
        form, known, wanted = (where, people, cities) if number % 2 else (who, cities, people)
        inputs.append((form.format(known[asked]), context))
        answer = Answer(wanted[asked], context.find(wanted[asked]))
        targets.append(() if asked == 4 else (answer,))
    return Examples("question-answering", inputs, targets)


@given(st.text("ab c.天é\u0301\n", max_size=60), st.data())
def test_rows_are_words_inside_of_one_and_nothing(context, data):
    words = words_in(context)
    assert rows_of(context) == len(asked_features("What?", context)) == len(words) + 2
    assert pointed(context, ()) == (len(words) + NOTHING,) * 2
    whole = np.array(words.spans).reshape(-1, 2)
    assert rows_at(words, whole).tolist() == [[place, place] for place in range(len(words))]
    place = data.draw(st.integers(0, len(context)))
    row = rows_at(words, np.array([[place, place]]))[0]
    begins, ends = ({span[side] for span in words.spans} for side in (0, 1))
    assert (row[0] != len(words) + INSIDE) == (place in begins)
    assert (row[1] != len(words) + INSIDE) == (place in ends)


def test_features_are_the_same_in_every_process():
    """To the last bit: a run that was killed fits them anew."""
    asked = "Which rare old fox jumps over a quick and lazy dog of the town?"
    context = (
        "The quick fox jumps. A lazy dog of the old town sleeps! The fox is rare, and over it jumps a dog."
    )
    code = (
        f"from headstart.tasks.kinds.counted_answers import *\nprint(asked_features({asked!r}, {context!r}))"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code], env=os.environ | {"PYTHONHASHSEED": str(seed)}, capture_output=True
        ).stdout
        for seed in range(3)
    }
    assert said == {f"{asked_features(asked, context)}\n".encode()}


@pytest.mark.parametrize("forms", [ENGLISH, CHINESE], ids=["blanks", "no blanks"])
def test_words_tell_where_an_answer_stands(forms):
    train, test = questions(forms, 1, 80), questions(forms, 2, 60)
    answers = strongest_baseline(train).predict(test.inputs)
    assert score(train.task, test.targets, answers)[0].value > 0.95
    assert score(train.task, test.targets, NearestSentence(train).predict(test.inputs))[0].value < 0.7


def test_a_question_without_an_answer_points_at_nothing():
    train, test = questions(ENGLISH, 1, 120, True), questions(ENGLISH, 2, 60, True)
    answers = strongest_baseline(train).predict(test.inputs)
    right = [(answer == "") == (not target) for answer, target in zip(answers, test.targets, strict=True)]
    assert np.mean(right) > 0.9
    always = questions(ENGLISH, 1, 80)
    assert all(strongest_baseline(always).predict(test.inputs))  # which has never learned to refuse


def test_what_words_cannot_tell_or_too_many_of_them_have_no_path(monkeypatch, caplog):
    train = questions(ENGLISH, 1, 40)
    words = sum(rows_of(context) for _, context in train.inputs)
    monkeypatch.setattr(path_module, "MOST_WORDS", words - 1)
    assert counted_path(train, 7) is None
    assert f"the contexts have {words:,} words" in caplog.text
    assert isinstance(strongest_baseline(train, 7), NearestSentence)
    monkeypatch.setattr(path_module, "MOST_WORDS", words)
    assert counted_path(train, 8).told > 0.5
    assert isinstance(strongest_baseline(train, 8), CountedAnswers)
    assert counted_path(questions(ENGLISH, 1, 20), 0) is None


def test_every_window_has_the_scores_of_the_whole_context(encoder):
    train = questions(ENGLISH, 1, 60)
    predictor = finetune(encoder, train, QUICK, 0)
    assert predictor.training.counted_told > 0.5
    question, context = train.inputs[0]
    pieces = predictor.kind.encode(encoder.tokenizer, [(question, context)], 32)
    assert len(pieces) > 1
    scores = predictor.counted.scores([(question, context)])
    words, seen = words_in(context), {}
    for piece in pieces:
        heads = scores_of_heads(scores, piece)
        assert np.array_equal(heads, scores_of_heads(torch.from_numpy(scores), piece).numpy())
        assert np.array_equal(heads[0], scores[len(words) + NOTHING])
        for head, span in zip(heads[1:], piece.spans[1:].tolist(), strict=True):
            assert np.array_equal(seen.setdefault(tuple(span), head), head)
    begins = {span[0]: scores[place, 0] for place, span in enumerate(words.spans)}
    for (start, end), head in seen.items():
        start += len(context[start:end]) - len(context[start:end].lstrip())
        assert head[0] == begins.get(start, scores[len(words) + INSIDE, 0])


def test_the_path_to_answers_is_part_of_the_model(tmp_path, encoder):
    train, test = questions(ENGLISH, 1, 80), questions(ENGLISH, 2, 30)
    predictor = finetune(encoder, train, QUICK, 0)
    answers = predictor.predict(test.inputs)
    assert score(train.task, test.targets, answers)[0].value > 0.9
    predictor.save(tmp_path / "model", "# Model")
    write_check(tmp_path / "model", predictor)
    again = Predictor.of(load_model(tmp_path / "model"))
    assert check(tmp_path / "model", again) < 1e-5
    assert again.predict(test.inputs) == answers
    assert [again.predict([one])[0] for one in test.inputs] == answers
    alone = finetune(encoder, train, QUICK.model_copy(update={"counted_words": "none"}), 0)
    assert alone.counted is None


def test_a_network_that_guesses_counts_nothing_beside_words(encoder):
    train, held = questions(ENGLISH, 1, 80), questions(ENGLISH, 3, 40)
    predictor = finetune(encoder, train, QUICK, 0)
    for weight in predictor.model.head.output.parameters():
        weight.data.copy_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(0)))
    assert network_share(predictor, held) < 0.2


def test_a_probe_answers_beside_words(encoder):
    train, test = questions(ENGLISH, 1, 60), questions(ENGLISH, 2, 20)
    probe = finetune(encoder, train, QUICK.model_copy(update={"adapt": "frozen"}), 0)
    assert score(train.task, test.targets, probe.predict(test.inputs))[0].value > 0.9
