"""A student beside its teacher: what is aligned, what is lost, and that it helps."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from headstart.errors import HeadstartError, Stopped
from headstart.interchange.model_folder import load_model, save_model
from headstart.objectives.recipe import Causal, Masked
from headstart.output import output
from headstart.tokenizer.shards import TokenRows
from headstart.training.distillation.alignment import overlaps, spans_of_pieces
from headstart.training.distillation.losses import relation_loss, text_means
from headstart.training.distillation.recipe import DistillRecipe
from headstart.training.distillation.run import distill, encode_texts
from headstart.training.distillation.start import spread_layers
from headstart.training.distillation.teacher import Teacher, principal_directions
from headstart.training.metrics import read_metrics
from headstart.training.restore import load_any

SIZES = {"layers": 1, "width": 16, "heads": 2, "feedforward_width": 24}


@pytest.fixture(scope="module")
def teacher(tiny, tokenizer, tmp_path_factory) -> Path:
    """An encoder with the tokenizer of the tokens."""
    folder = tmp_path_factory.mktemp("teacher") / "model"
    model = tiny("headstart-encoder", seed=3, vocab_size=tokenizer.vocab_size)
    with torch.no_grad():
        model.embedding.weight.mul_(20)  # tokens differ more than their neighbours: there is much to learn
    save_model(folder, model, tokenizer, "masked", "# teacher")
    return folder


@pytest.fixture(scope="module")
def other_teacher(tiny, kinds, tmp_path_factory) -> Path:
    """A BERT with a WordPiece vocabulary of its own."""
    folder = tmp_path_factory.mktemp("teacher") / "bert"
    model = tiny("bert", seed=4, vocab_size=kinds["bert"].vocab_size)
    save_model(folder, model, kinds["bert"], "masked", "# teacher")
    return folder


def recipe(teacher: Path, tokens: Path, **settings) -> DistillRecipe:
    usual = {"teacher": teacher, "tokens": tokens, "model": SIZES, "context": 32, "rows": 8, "steps": 6}
    usual |= {"evaluate_every": 6, "checkpoint_every": 3, "sinks": []}
    return DistillRecipe.checked(usual | settings)


# What stands where


def test_spans_of_pieces_follow_characters_whose_bytes_are_cut():
    text = "né größer, 東京!"
    data = text.encode()
    for size in (1, 2, 3):
        pieces = [data[at : at + size] for at in range(0, len(data), size)]
        made, spans = spans_of_pieces(pieces)
        assert made == text
        for piece, (begin, end) in zip(pieces, spans, strict=True):
            whole = text[begin:end].encode()
            assert piece in whole
            assert end - begin <= len(piece) + 1


def test_spans_overlap_as_every_pair_compared():
    random = np.random.default_rng(0)
    for _ in range(50):
        edges = [np.unique(random.integers(0, 30, 8)) for _ in range(2)]
        own, others = (np.stack([edge[:-1], edge[1:]], 1) for edge in edges)
        mine, theirs = overlaps(own, others)
        expected = [
            (i, j)
            for i, (a, b) in enumerate(own.tolist())
            for j, (c, d) in enumerate(others.tolist())
            if max(a, c) < min(b, d)
        ]
        assert list(zip(mine.tolist(), theirs.tolist(), strict=True)) == expected


def test_a_teacher_of_the_same_tokenizer_is_asked_as_it_would_be_alone(teacher, tokens):
    made = Teacher(teacher, load_model(teacher).tokenizer)
    assert made.same
    ids, segments = TokenRows(tokens, "train", 48).read(np.arange(4))
    states, known, vectors = made.states(ids, segments, 3)
    assert known.all()
    for row in range(4):
        places = [np.flatnonzero(segments[row] == number) for number in np.unique(segments[row])]
        for text, place in enumerate(places[:3]):
            inner = [i for i in ids[row, place].tolist() if i not in made.tokenizer.special.all]
            whole, _ = made.tokenizer.with_special(inner)
            alone = made.model(torch.tensor([whole]))[0]
            first = int(ids[row, place[0]] not in made.tokenizer.special.all)
            torch.testing.assert_close(states[row, place], alone[first : first + len(place)])
            if len(whole) >= 4:
                torch.testing.assert_close(vectors[row, text], alone.mean(0))
            else:
                assert not vectors[row, text].any()


def test_tokens_of_another_vocabulary_are_found_by_their_characters(other_teacher, tokens, tokenizer):
    made = Teacher(other_teacher, tokenizer)
    assert not made.same
    ids, segments = TokenRows(tokens, "train", 48).read(np.arange(6))
    read = made.reading(ids, segments)
    mine, theirs = ids.reshape(-1)[read.places], read.ids.flatten()[read.others].numpy()
    texts = [
        (tokenizer.pieces[a].decode().strip().lower(), made.tokenizer.pieces[b].decode().strip())
        for a, b in zip(mine.tolist(), theirs.tolist(), strict=True)
        if a not in tokenizer.special.all
    ]
    assert len(texts) > 200
    shared = [a in b or b in a or set(a) & set(b) for a, b in texts if a and b]
    assert all(shared)
    words = np.isin(ids, list(tokenizer.special.all), invert=True)
    found = np.zeros(ids.size, bool)
    found[read.places] = True
    letters = np.array([tokenizer.pieces[index].strip() != b"" for index in ids.reshape(-1)])
    assert found[words.reshape(-1) & letters].mean() > 0.97


# What is lost


def plain_relations(student, teacher, segments, heads):
    """Equations 4 to 6 of MiniLMv2, token by token."""
    total = 0.0
    for own, taught in zip(student, teacher, strict=True):
        for row in range(len(segments)):
            for head in range(heads):
                for token in range(segments.shape[1]):
                    seen = [t for t in range(segments.shape[1]) if segments[row, t] == segments[row, token]]
                    shares = []
                    for states in (own, taught):
                        width = states.shape[-1] // heads
                        part = states[row, :, head * width : (head + 1) * width]
                        scores = [(part[token] @ part[t]).item() / math.sqrt(width) for t in seen]
                        top = [math.exp(score - max(scores)) for score in scores]
                        shares.append([one / sum(top) for one in top])
                    total += sum(q * (math.log(q) - math.log(p)) for p, q in zip(*shares, strict=True))
    return total / heads / len(student)


def test_the_relation_loss_is_the_papers():
    torch.manual_seed(0)
    segments = torch.tensor([[0, 0, 0, 1, 1], [2, 2, 2, 2, 2]])
    student = tuple(torch.randn(2, 5, 8, requires_grad=True) for _ in range(3))
    teacher = tuple(torch.randn(2, 5, 12) for _ in range(3))
    loss = relation_loss(student, teacher, segments, 4)
    assert loss.item() == pytest.approx(plain_relations(student, teacher, segments, 4), rel=1e-5)
    loss.backward()
    assert all(torch.isfinite(part.grad).all() for part in student)
    assert float(relation_loss(teacher, teacher, segments, 4)) == pytest.approx(0, abs=1e-6)


def test_text_means_are_those_of_each_text_alone():
    states = torch.randn(2, 6, 3)
    segments = torch.tensor([[5, 5, 7, 7, 7, 9], [1, 1, 1, 1, 1, 1]])
    means, lengths = text_means(states, segments, 2)
    torch.testing.assert_close(means[0, 1], states[0, 2:5].mean(0))
    torch.testing.assert_close(means[1, 0], states[1].mean(0))
    assert lengths.tolist() == [[2, 3], [6, 0]]


def test_directions_keep_products_and_the_strongest_part():
    torch.manual_seed(0)
    states = torch.randn(500, 12) * torch.tensor([4.0] * 3 + [0.1] * 9)
    directions, share = principal_directions(states, 3, seed=1)
    assert share > 0.99
    scale = float((states.double().square().sum() * share / 500 / 3) ** 0.5)
    kept = (states @ directions) * scale
    torch.testing.assert_close(kept @ kept.T, states @ states.T, rtol=0.05, atol=0.6)
    wide, share = principal_directions(states, 20, seed=1)
    assert share == pytest.approx(1)
    made = states @ wide
    assert float(made.square().mean()) == pytest.approx(1, rel=1e-4)


# Whole runs


@pytest.mark.parametrize("settings", [{}, {"keep": True}, {"way": "relations"}])
def test_a_stopped_run_ends_as_an_uninterrupted_one(teacher, tokens, tmp_path, settings):
    """And `keep` changes nothing but who is asked: the second of two passes reads what the first wrote."""
    made = recipe(teacher, tokens, rows=64, steps=8, checkpoint_every=2, **settings)
    whole = distill(made, tmp_path / "whole")
    (tmp_path / "cut").mkdir()
    commands = ["pause", "step", "step", "step", "stop"]
    steering = [{"seq": seq, "action": action} for seq, action in enumerate(commands, 1)]
    (tmp_path / "cut" / "control.json").write_text(json.dumps(steering))
    with pytest.raises(Stopped, match="after step 3"):
        distill(made, tmp_path / "cut")
    again = distill(made, tmp_path / "cut")
    for name in ("model.safetensors", "config.json"):
        assert (whole / name).read_bytes() == (again / name).read_bytes()
    events = [e for e in read_metrics(tmp_path / "whole") if e["kind"] == "evaluation"]
    assert events[-1]["layer_loss"] < events[0]["layer_loss"]
    assert events[-1]["cosine"] > events[0]["cosine"]


def test_a_taught_student_is_nearer_to_its_teacher_than_one_that_learned_alone(teacher, tokens, tmp_path):
    found = {}
    for name, weights in {"taught": {}, "alone": {"layer_weight": 0, "vector_weight": 0}}.items():
        made = recipe(teacher, tokens, steps=60, evaluate_every=60, checkpoint_every=60, **weights)
        distill(made, tmp_path / name)
        found[name] = [e for e in read_metrics(tmp_path / name) if e["kind"] == "evaluation"][-1]
    assert found["taught"]["cosine"] > found["alone"]["cosine"] + 0.05
    assert found["taught"]["layer_loss"] < 0.7 * found["alone"]["layer_loss"]


def test_a_decoder_learns_from_an_encoder_of_another_vocabulary(other_teacher, tokens, tmp_path):
    made = recipe(
        other_teacher, tokens, objective=Causal(), model=SIZES | {"family": "headstart-decoder"}, steps=12,
        evaluate_every=12,
    )  # fmt: skip
    folder = distill(made, tmp_path / "run")
    assert load_model(folder).head == "causal"
    events = [e for e in read_metrics(tmp_path / "run") if e["kind"] == "evaluation"]
    assert events[-1]["layer_loss"] < events[0]["layer_loss"]


def test_a_student_of_its_teachers_shape_begins_with_its_layers(tiny, teacher, tokens, tmp_path):
    """All of them: then it is the teacher, and there is nothing to learn. Half: nearer than random ones."""
    shape = {"width": 32, "heads": 4, "feedforward_width": 48}
    near = {}
    for layers, start in ((2, "teacher"), (1, "teacher"), (1, "random")):
        made = recipe(
            teacher, tokens, model=shape | {"layers": layers}, start=start, objective_weight=0, steps=1,
            evaluate_every=1,
        )  # fmt: skip
        run = tmp_path / f"{layers}-{start}"
        folder = distill(made, run)
        near[layers, start] = next(e for e in read_metrics(run) if e["kind"] == "evaluation")
    # The teacher reads special tokens around a text that a row has cut, the student does not.
    assert near[2, "teacher"]["layer_loss"] < 0.01
    assert near[2, "teacher"]["cosine"] > 0.95
    assert near[1, "teacher"]["cosine"] > near[1, "random"]["cosine"] + 0.1
    read = load_model(folder)
    assert read.head == "features"  # its output over the vocabulary has learned nothing
    assert read.mean_is_vector


def test_layers_are_spread_from_the_first_to_the_last():
    assert spread_layers(3, 6) == [0, 2, 5]
    assert spread_layers(6, 6) == list(range(6))
    assert spread_layers(1, 6) == [5]


def test_a_checkpoint_of_a_distillation_is_read_as_a_model(tiny, tokenizer, tokens, tmp_path):
    """Of a student, too, that has its teacher's 64 positions, and rows of 32 tokens."""
    teacher, shape = tmp_path / "teacher", {"width": 32, "heads": 4, "feedforward_width": 48}
    body = tiny("distilbert", vocab_size=tokenizer.vocab_size)
    save_model(teacher, body, tokenizer, "masked", "# teacher")
    sizes = shape | {"family": "distilbert", "layers": 1}
    distill(recipe(teacher, tokens, model=sizes), tmp_path / "run")
    read = load_any(tmp_path / "run" / "checkpoints" / "step-6")
    finished = load_model(tmp_path / "run")
    torch.testing.assert_close(read.model.embedding.weight, finished.model.embedding.weight)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"way": "relations"}, "another tokenizer"),
        ({"objective": {"kind": "next-sentence"}}, "masked or the causal"),
        ({"objective_weight": 0, "layer_weight": 0, "vector_weight": 0}, "nothing is learned"),
    ],
)
def test_what_does_not_fit_is_refused(other_teacher, tokens, tmp_path, settings, words):
    with pytest.raises(HeadstartError, match=words):
        distill(recipe(other_teacher, tokens, **settings), tmp_path / "run")


def test_a_damaged_teacher_is_refused(teacher, tokens, tmp_path):
    folder = tmp_path / "teacher"
    folder.mkdir()
    for file in teacher.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(HeadstartError, match=r"model\.safetensors"):
        distill(recipe(folder, tokens), tmp_path / "run")


def test_texts_that_a_command_wrote_anew_are_other_texts(teacher, tmp_path):
    texts = tmp_path / "texts"

    def export(word: str) -> None:
        with output(texts / "exported", "exported corpus", settings=word, replace=True) as made:
            for number in range(300):
                (texts / "exported" / f"{number}.txt").write_text(f"{word} {number} " * 20)
            made.finish({})

    export("one")
    encode_texts(texts, recipe(teacher, tmp_path / "tokens"))
    encode_texts(texts, recipe(teacher, tmp_path / "tokens"))
    export("two")
    with pytest.raises(HeadstartError, match="made from other inputs"):
        encode_texts(texts, recipe(teacher, tmp_path / "tokens"))


def test_masks_alone_are_plain_pretraining(teacher, tokens, tmp_path):
    """Two ways to the same weights: a teacher without a say, and no teacher."""
    from headstart.training.loop import pretrain
    from headstart.training.recipe import PretrainRecipe

    shared = {"tokens": tokens, "model": SIZES, "context": 32, "rows": 8, "steps": 6, "sinks": []}
    shared |= {"objective": Masked(), "start": "random"}
    plain = pretrain(PretrainRecipe.checked(shared), tmp_path / "plain")
    alone = {"objective_weight": 1, "layer_weight": 0, "vector_weight": 0}
    taught = distill(DistillRecipe.checked(shared | alone | {"teacher": teacher}), tmp_path / "taught")
    assert (plain / "model.safetensors").read_bytes() == (taught / "model.safetensors").read_bytes()
