"""What a language model finds likely: token by token, in windows, over own text, as answers to tasks."""

import gzip
import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from headstart.errors import HeadstartError
from headstart.evaluation.evaluation import EvaluationSettings, evaluate
from headstart.evaluation.likelihood import Asked, asked_for, likelihoods, windows
from headstart.evaluation.perplexity import evaluate_text
from headstart.evaluation.pseudo_likelihood import pieces
from headstart.interchange.model_folder import LoadedModel, save_model


@pytest.fixture(scope="module")
def decoder(tokenizer, tiny):
    return LoadedModel(tiny("headstart-decoder"), tokenizer, "causal")


@pytest.fixture(scope="module")
def answerer(tokenizer, tiny):
    return LoadedModel(tiny("t5"), tokenizer, "text-to-text")


@torch.no_grad()
def plainly(loaded, asked):
    """One row at a time, one token at a time."""
    model, total, greedy = loaded.model.eval(), 0.0, True
    for place, token in enumerate(asked.target):
        if loaded.head == "causal":
            seen = [*asked.context, *asked.target[:place]][-model.config.context :]
            hidden = model(torch.tensor([seen]))
        else:
            memory = model.encode(torch.tensor([asked.context]))
            start = loaded.tokenizer.special.pad
            hidden = model(torch.tensor([[start, *asked.target[:place]]]), encoder_states=memory)
        scores = model.logits(hidden[0, -1]).log_softmax(-1)
        total += float(scores[token])
        greedy &= int(scores.argmax()) == token
    return total, greedy


@pytest.mark.parametrize("kind", ["decoder", "answerer"])
def test_likelihoods_are_those_of_single_steps(kind, request):
    loaded = request.getfixturevalue(kind)
    random = np.random.default_rng(0)
    asked = [
        Asked(random.integers(10, 600, before).tolist(), random.integers(10, 600, size).tolist())
        for before, size in [(1, 1), (3, 5), (30, 2), (60, 4), (7, 1), (12, 40)]
    ]
    # Choices of one token behind one prompt are computed in one row.
    asked += [Asked(asked[0].context, [token]) for token in (20, 30)]
    with torch.no_grad():  # one that is the likeliest
        scores = [plainly(loaded, Asked(asked[1].context, [token]))[0] for token in range(600)]
    asked.append(Asked(asked[1].context, [int(np.argmax(scores))]))
    found = likelihoods(loaded, asked)
    for mine, one in zip(found, asked, strict=True):
        expected, greedy = plainly(loaded, one)
        assert mine.logprob == pytest.approx(expected, abs=1e-3)
        assert mine.greedy == greedy
    assert found[-1].greedy
    alone = likelihoods(loaded, asked[2:3])[0]
    assert alone.logprob == pytest.approx(found[2].logprob, abs=1e-4)


def test_of_long_texts_the_end_is_read(decoder):
    ids = list(range(10, 200))
    cut = likelihoods(decoder, [Asked(ids, [7, 8]), Asked(ids[-63:], [7, 8])])
    assert cut[0] == cut[1]
    assert likelihoods(decoder, [Asked([5], [])]) == [(0.0, True)]


def test_few_scores_at_once(decoder, monkeypatch):
    asked = [Asked([5, 6], list(range(20, 60))), Asked([9], [8])]
    whole = likelihoods(decoder, asked)
    monkeypatch.setattr("headstart.evaluation.likelihood.SCORES", 600 * 3)
    for mine, its in zip(likelihoods(decoder, asked), whole, strict=True):
        assert mine.logprob == pytest.approx(its.logprob, abs=1e-4)


def test_texts_are_cut_into_tokens_together(decoder):
    tokenizer = decoder.tokenizer
    asked = asked_for(decoder, "The old captain ", "waited")
    start = [tokenizer.special.start]
    assert asked.context + asked.target == start + tokenizer.encode("The old captain waited")
    assert tokenizer.decode(asked.target) == " waited"
    assert asked_for(decoder, "", "waited").context == start


@given(st.integers(0, 300), st.integers(1, 50), st.integers(1, 50))
def test_windows_foresee_every_token_once(decoder, length, context, stride):
    ids = list(range(length))
    if stride > context:
        with pytest.raises(HeadstartError, match="stride"):
            windows(decoder.tokenizer, ids or [1], context, stride)
        return
    found = windows(decoder.tokenizer, ids, context, stride)
    assert [token for window in found for token in window.target] == ids
    read = [decoder.tokenizer.special.start, *ids]
    place = 0
    for number, window in enumerate(found):
        assert len(window.context) + len(window.target) <= context + 1
        assert window.context == read[place + 1 - len(window.context) : place + 1]
        if number:
            assert len(window.context) > context - stride
        place += len(window.target)


def test_perplexity_of_own_text(decoder, documents, tmp_path):
    path = tmp_path / "own.jsonl.gz"
    chosen = [one | {"even": str(number % 2)} for number, one in enumerate(documents[:40])]
    path.write_bytes(gzip.compress("".join(json.dumps(one) + "\n" for one in chosen).encode()))
    found = evaluate_text(decoder, path, stride=16)
    bits, tokens, words, xz = found.scores
    ids = [decoder.tokenizer.encode(one["text"]) for one in chosen]
    loss = -sum(
        likelihood.logprob
        for one in ids
        for likelihood in likelihoods(decoder, windows(decoder.tokenizer, one, 64, 16))
    )
    size = sum(len(one["text"].encode()) for one in chosen)
    assert bits["value"] == pytest.approx(loss / math.log(2) / size)
    assert tokens["value"] == pytest.approx(math.exp(loss / sum(map(len, ids))))
    count = sum(len(one["text"].split()) for one in chosen)
    assert words["value"] == pytest.approx(math.exp(loss / count))
    assert (bits["n"], tokens["n"], words["n"]) == (size, sum(map(len, ids)), count)
    assert 0 < xz["value"] < 8
    assert {row["slice"] for row in found.tables["slices"]} >= {"even", "length"}
    halves = [row for row in found.tables["slices"] if row["slice"] == "even"]
    assert sum(row["n"] for row in halves) == size
    assert found.tables["hardest documents"][0]["bits per byte"] > bits["value"]
    assert "resamples draw documents" in found.rule


def test_one_document_is_drawn_by_windows(decoder, documents, tmp_path):
    path = tmp_path / "book.txt"
    path.write_text("\n\n".join(one["text"] for one in documents[:5]))
    found = evaluate_text(decoder, path)
    assert found.scores[0]["n"] == len(path.read_bytes())
    assert found.scores[0]["low"] < found.scores[0]["value"] < found.scores[0]["high"]
    assert "1 document, resamples draw windows" in found.rule
    assert evaluate_text(decoder, path, limit=1).scores == found.scores


@pytest.mark.parametrize("family", ["headstart-encoder", "bert"])
def test_an_encoder_hides_each_token_in_turn(tokenizer, tiny, documents, tmp_path, family):
    loaded = LoadedModel(tiny(family).eval(), tokenizer, "masked")
    text = documents[3]["text"][:400]
    (tmp_path / "one.txt").write_text(text)
    ids = tokenizer.encode(text)
    cut = pieces(loaded, ids)
    assert [token for piece in cut for token in piece] == ids
    assert max(map(len, cut)) <= 62
    assert max(map(len, cut)) - min(map(len, cut)) <= 1
    expected = 0.0
    for piece in cut:
        row = torch.tensor([[tokenizer.special.start, *piece, tokenizer.special.end]])
        for place in range(1, len(piece) + 1):
            hidden = row.clone()
            hidden[0, place] = tokenizer.special.mask
            with torch.no_grad():
                scores = loaded.model.logits(loaded.model(hidden)[0, place]).log_softmax(-1)
            expected -= float(scores[row[0, place]])
    found = evaluate(loaded, f"text:{tmp_path / 'one.txt'}")
    figures = {row["metric"]: row["value"] for row in found.scores if row["system"] == "model"}
    assert figures["token pseudo-perplexity"] == pytest.approx(math.exp(expected / len(ids)), rel=1e-4)
    assert figures["pseudo-bits per byte"] == pytest.approx(expected / math.log(2) / len(text.encode()))
    assert pieces(loaded, []) == []


PROBLEMS = [
    {"question": "The captain of the", "choices": ["ship", "kitchen"], "answer": 0, "kind": "sea"},
    {"question": "A table in the", "choices": ["wave", "hall", "sea"], "answer": "hall", "kind": "home"},
    {"question": "An anchor", "choices": {"text": ["holds", "sings"], "label": ["A", "B"]}, "answer": "A"},
    {"question": "Curtains hang ", "choices": ["down", "out"], "answer": "B", "kind": "home"},
]


def jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_choices(decoder, tmp_path):
    found = evaluate(decoder, str(jsonl(tmp_path / "quiz.jsonl", PROBLEMS)))
    right, plain = [0, 1, 0, 1], []
    for row in PROBLEMS:
        choices = row["choices"]["text"] if isinstance(row["choices"], dict) else row["choices"]
        prompt = row["question"].rstrip()
        scores = [plainly(decoder, asked_for(decoder, prompt, f" {one}"))[0] for one in choices]
        plain.append((int(np.argmax(scores)), int(np.argmax([s / len(c) for s, c in zip(scores, choices)]))))  # noqa: B905
    figures = {(row["system"], row["metric"]): row["value"] for row in found.scores}
    assert figures["model", "accuracy"] == np.mean([a == r for (a, _), r in zip(plain, right, strict=True)])
    per_byte = np.mean([b == r for (_, b), r in zip(plain, right, strict=True)])
    assert figures["model", "accuracy per byte"] == per_byte
    assert figures["chance", "accuracy"] == pytest.approx((1 / 2 + 1 / 3 + 1 / 2 + 1 / 2) / 4)
    assert len(found.tables["most confident errors"]) == 4 - 4 * figures["model", "accuracy"]


def test_solved_examples_stand_before_a_problem(decoder, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "headstart.evaluation.likelihood_tasks.asked_for",
        lambda loaded, context, target: seen.append(context) or asked_for(loaded, context, target),
    )
    path = jsonl(tmp_path / "quiz.jsonl", PROBLEMS)
    found = evaluate(decoder, f"choices:{path}", EvaluationSettings(shots=(3,)))
    assert "3 solved examples before each" in found.rule
    for context in seen:
        *solved, asked = context.split("\n\n")
        assert len(solved) == 3
        assert not any(one.startswith(asked) for one in solved)
    others = jsonl(tmp_path / "others.jsonl", PROBLEMS[:1])
    seen.clear()
    evaluate(decoder, f"choices:{path}", EvaluationSettings(shots=(1,), examples=others, limit=2))
    assert all(context.startswith("The captain of the ship\n\n") for context in seen)
    assert len(seen) == 5
    with pytest.raises(HeadstartError, match="4 solved examples need 5"):
        evaluate(decoder, f"choices:{path}", EvaluationSettings(shots=(4,)))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"answer": "C"}, "line 1: the answer 'C' is none of the 2 options"),
        ({"answer": 3}, "is none of the 2 options"),
        ({"choices": ["ship"]}, "has 1 options; multiple choice needs a list of 2"),
        ({"choices": ["ship", " ", "sea"]}, "line 1: empty option"),
        ({"answer": None, "question": "?"}, "line 1: no answer"),
    ],
)
def test_bad_problems(decoder, tmp_path, change, said):
    path = jsonl(tmp_path / "quiz.jsonl", [PROBLEMS[0] | change])
    with pytest.raises(HeadstartError, match=said):
        evaluate(decoder, f"choices:{path}")


def test_last_words(decoder, tmp_path):
    rows = [{"text": "The sea and the ship and the sea"}, {"text": "The captain saw the storm"}]
    found = evaluate(decoder, f"lambada:{jsonl(tmp_path / 'last.jsonl', rows)}")
    figures = {(row["system"], row["metric"]): row["value"] for row in found.scores}
    asked = [asked_for(decoder, *pair) for pair in (("The sea and the ship and the", " sea"),
                                                    ("The captain saw the", " storm"))]  # fmt: skip
    logprobs = [plainly(decoder, one)[0] for one in asked]
    assert figures["model", "word perplexity"] == pytest.approx(math.exp(-np.mean(logprobs)), rel=1e-4)
    assert figures["random word of the text", "accuracy"] == pytest.approx((1 / 7 + 0) / 2)
    with pytest.raises(HeadstartError, match="one word alone"):
        evaluate(decoder, f"lambada:{jsonl(tmp_path / 'one.jsonl', [{'text': 'Sea'}])}")
    with pytest.raises(HeadstartError, match="no 'text'"):
        evaluate(decoder, f"lambada:{jsonl(tmp_path / 'none.jsonl', [{'body': 'Sea'}])}")


def test_what_a_model_cannot_do(encoder, answerer, tmp_path, monkeypatch):
    path = jsonl(tmp_path / "texts.jsonl", [{"text": "The captain saw the storm"}])
    with pytest.raises(HeadstartError, match="did you mean 'lambada'"):
        evaluate(answerer, "lambda:texts.jsonl")
    with pytest.raises(HeadstartError, match="this model is text-to-text"):
        evaluate(answerer, str(path))
    with pytest.raises(HeadstartError, match="this model is masked"):
        evaluate(encoder, f"lambada:{path}")
    monkeypatch.setattr("headstart.tasks.data.lines.MAX_LINE", 20)
    for name in ("long.txt", "long.jsonl"):
        jsonl(tmp_path / name, [{"text": "The captain saw the storm"}])
        with pytest.raises(HeadstartError, match="line 1 is over"):
            evaluate(as_decoder(answerer), f"text:{tmp_path / name}")
    monkeypatch.undo()
    with pytest.raises(HeadstartError, match="no text; wanted 'text'"):
        evaluate(as_decoder(answerer), f"text:{jsonl(tmp_path / 'n.jsonl', [{'n': 1}])}")


def as_decoder(loaded):
    """The same taken for a decoder: its data are looked at before the model."""
    return LoadedModel(loaded.model, loaded.tokenizer, "causal")


def test_perplexity_is_that_of_transformers(tmp_path, tokenizer, tiny, documents):
    from transformers import AutoModelForCausalLM

    model = tiny("gpt2")
    save_model(tmp_path / "gpt2", model, tokenizer, "causal", "# tiny")
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "gpt2")
    text = documents[3]["text"][:900]
    (tmp_path / "one.txt").write_text(text)
    ids = tokenizer.encode(text)
    loss, context, stride = 0.0, 64, 32
    row = torch.tensor([[tokenizer.special.start, *ids]])
    place = 0
    while place < len(ids):  # place: tokens foreseen so far
        last = min(place + (context if not place else stride), len(ids))
        window = row[:, max(0, last - context) : last + 1]
        labels = window.clone()
        labels[:, : window.shape[1] - (last - place)] = -100
        with torch.no_grad():
            loss += float(theirs(window[:, :-1]).logits.log_softmax(-1)[0].gather(
                1, window[0, 1:, None])[labels[0, 1:] != -100].sum())  # fmt: skip
        place = last
    found = evaluate_text(LoadedModel(model, tokenizer, "causal"), tmp_path / "one.txt")
    assert found.scores[1]["value"] == pytest.approx(math.exp(-loss / len(ids)), rel=1e-4)
