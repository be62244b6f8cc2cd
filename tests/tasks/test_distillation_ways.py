"""The door to all ways of distilling: which is meant, the static and the soft-label way as whole runs."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import headstart as hs
from headstart.cli import app
from headstart.errors import HeadstartError, Stopped
from headstart.interchange.model_folder import load_model, save_model
from headstart.tasks.distillation.soft_labels import softened_loss
from headstart.tasks.distillation.ways import LabelsDistillation, StatesDistillation, distillation
from headstart.training.distillation.static import rarities
from headstart.training.metrics import read_metrics

COLOURS = ["red", "green", "blue"]


@pytest.fixture(scope="module")
def body(tiny, kinds, tmp_path_factory) -> Path:
    """An encoder with a WordPiece vocabulary."""
    folder = tmp_path_factory.mktemp("teacher") / "body"
    model = tiny("bert", seed=4, vocab_size=kinds["bert"].vocab_size)
    with torch.no_grad():
        model.embedding.weight.mul_(20)
    save_model(folder, model, kinds["bert"], "masked", "# teacher")
    return folder


@pytest.fixture(scope="module")
def student(tiny, tokenizer, tmp_path_factory) -> Path:
    """An encoder with another vocabulary."""
    folder = tmp_path_factory.mktemp("student") / "model"
    save_model(folder, tiny("headstart-encoder", vocab_size=tokenizer.vocab_size), tokenizer, "masked", "# s")
    return folder


@pytest.fixture(scope="module")
def classifier(body, tmp_path_factory) -> Path:
    """A teacher that tells three colours apart."""
    folder = tmp_path_factory.mktemp("classifier")
    rows = [{"text": f"the {c} one said {n}", "label": c} for n in range(20) for c in COLOURS]
    (folder / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    model = hs.finetune(body, folder / "train.jsonl", epochs=20, learning_rate=3e-3)
    model.save(folder / "model")
    return folder / "model"


@pytest.fixture(scope="module")
def texts(tmp_path_factory) -> Path:
    """Texts without labels."""
    file = tmp_path_factory.mktemp("texts") / "texts.jsonl"
    rows = [{"text": f"{n} words, and the {COLOURS[n % 3]} thing"} for n in range(120)]
    file.write_text("\n".join(map(json.dumps, rows)))
    return file


# Static


def test_a_static_model_is_read_used_and_fine_tuned(body, tokens, tmp_path):
    model, facts = distillation(body, None, None, None, ["way=static", "width=16"]).run(tmp_path / "static")
    read = hs.load(tmp_path / "static")
    assert read.loaded.model.config.layers == 0
    assert facts["parameters"] == read.loaded.model.embedding.weight.numel()
    vectors = read.embed(["one two three", "three two one", "four"])
    torch.testing.assert_close(np.linalg.norm(vectors, axis=1), np.ones(3, np.float32))
    torch.testing.assert_close(vectors[0], vectors[1], rtol=1e-4, atol=1e-5)  # the order is nothing to it
    again, _ = distillation(body, None, None, None, ["way=static", "width=16"]).run(tmp_path / "static")
    assert again == model  # finished, and returned
    data = tmp_path / "train.jsonl"
    rows = [{"text": f"the {c} one said {n}", "label": c} for n in range(20) for c in COLOURS]
    data.write_text("\n".join(map(json.dumps, rows)))
    tuned = hs.finetune(tmp_path / "static", data, epochs=20, learning_rate=1e-2)
    assert tuned.score.value > 0.9
    tuned.save(tmp_path / "tuned")
    assert hs.load(tmp_path / "tuned").predict("the blue one")["label"] == "blue"


def test_static_vectors_keep_what_the_teacher_tells_apart(body, tmp_path):
    """Cosines of all directions are the teacher's own, centred, where every token weighs the same."""
    made = distillation(body, None, None, None, ["way=static", "width=32", "rarity=1e9"])
    folder, facts = made.run(tmp_path / "static")
    assert facts["kept_share"] == pytest.approx(1, abs=1e-4)
    table = load_model(folder).model.embedding.weight
    teacher = load_model(body)
    teacher.model.eval()
    special = teacher.tokenizer.special
    some = [n for n in range(100, 140) if n not in special.all]
    with torch.no_grad():
        alone = [
            teacher.model(torch.tensor([teacher.tokenizer.with_special(teacher.tokenizer.encode(
                teacher.tokenizer.pieces[n].decode().strip()))[0]]))[0].mean(0)
            for n in some
        ]  # fmt: skip
    own = torch.stack(alone)
    own, made_of = own - own.mean(0), table[some] - table[some].mean(0)
    cosines = [torch.nn.functional.normalize(x) @ torch.nn.functional.normalize(x).T for x in (own, made_of)]
    torch.testing.assert_close(*cosines, rtol=1e-3, atol=1e-3)
    assert not table[list(special.all)].any()


def test_from_python_the_same(body, tmp_path):
    made = hs.distill(body, None, tmp_path / "static", way="static", width=16)
    assert made.embed(["a word"]).shape == (1, 16)


def test_rare_tokens_weigh_more():
    counts = np.array([0, 0, 1000, 10, 0])
    weights = rarities(counts, 5, frozenset({0, 1}), 1e-2)
    assert weights[:2].tolist() == [0, 0]
    assert weights[2] < weights[3] < weights[4]
    zipf = rarities(None, 1000, frozenset({0}), 1e-4)
    assert (zipf[1:].diff() > 0).all()


def test_a_text_for_static_vectors_has_to_be_tokens(body, texts):
    with pytest.raises(HeadstartError, match="no tokens folder"):
        distillation(body, texts, None, None, ["way=static"])


# Soft labels


def test_the_softened_loss_is_the_papers():
    scores, wanted = torch.randn(4, 3), torch.randn(4, 3)
    shares = [(x / 2).softmax(1) for x in (scores, wanted)]
    expected = 4 * (shares[1] * (shares[1].log() - shares[0].log())).sum(1).mean()
    torch.testing.assert_close(softened_loss(scores, wanted, 2.0), expected)
    assert float(softened_loss(scores, scores, 3.0)) == pytest.approx(0, abs=1e-6)


def test_a_student_learns_the_answers_and_a_stopped_run_ends_alike(classifier, student, texts, tmp_path):
    settings = [f"start={student}", "steps=40", "max_tokens=32", "evaluate_every=40", "checkpoint_every=10",
                "optimiser.matrix_rate=0.01", "optimiser.vector_rate=0.01", "sinks=[]"]  # fmt: skip
    made = distillation(classifier, texts, None, None, settings)
    assert isinstance(made, LabelsDistillation)  # what a classifier is for
    folder, figures = made.run(tmp_path / "whole")
    first = next(e for e in read_metrics(tmp_path / "whole") if e["kind"] == "evaluation")
    assert figures["loss"] < 0.5 * first["loss"]
    assert figures["agreement"] > 0.9
    control = tmp_path / "cut" / "control.json"
    control.parent.mkdir()
    control.write_text(json.dumps([{"seq": 1, "action": "pause"}, {"seq": 2, "action": "step"},
                                   {"seq": 3, "action": "step"}, {"seq": 4, "action": "stop"}]))  # fmt: skip
    with pytest.raises(Stopped, match="after step 2"):
        made.run(tmp_path / "cut")
    again, _ = made.run(tmp_path / "cut")
    assert (folder / "model.safetensors").read_bytes() == (again / "model.safetensors").read_bytes()
    assert hs.load(tmp_path / "whole").predict("the green thing")["label"] in COLOURS


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["way=labels", "start=STUDENT"], "knows no labels"),
        (["way=stats"], "no way=stats"),
        (["way=labels", "start=STUDENT", "epochs=3"], "give steps"),
    ],
)
def test_what_does_not_fit_is_said(body, student, texts, tmp_path, settings, words):
    given = [setting.replace("STUDENT", str(student)) for setting in settings]
    with pytest.raises(HeadstartError, match=words):
        distillation(body, texts, None, None, given).run(tmp_path / "run")


def test_too_few_texts_are_refused(classifier, student, tmp_path):
    (tmp_path / "few.txt").write_text("one text alone")
    made = distillation(classifier, tmp_path / "few.txt", None, None, [f"start={student}"])
    with pytest.raises(HeadstartError, match="too few"):
        made.run(tmp_path / "run")


# From the command line


def test_files_of_text_are_encoded_with_the_teachers_tokenizer(body, tmp_path):
    out, texts = tmp_path / "run", tmp_path / "texts.jsonl"
    rows = [{"text": f"{n} words, and the {COLOURS[n % 3]} thing"} for n in range(800)]
    texts.write_text("\n".join(map(json.dumps, rows)))
    arguments = ["distill", str(body), "--data", str(texts), "--out", str(out), "--json"]
    sizes = ["model.layers=1", "model.width=16", "model.heads=2", "model.feedforward_width=24"]
    steps = ["context=16", "rows=4", "steps=3", "evaluate_every=3", "checkpoint_every=3", "sinks=[]"]
    done = CliRunner().invoke(app, [*arguments, *sizes, *steps], catch_exceptions=False)
    figures = json.loads(done.stdout)
    assert figures["step"] == 3
    assert -1 <= figures["cosine"] <= 1
    read = hs.load(out)
    assert read.loaded.tokenizer.sha256 == load_model(body).tokenizer.sha256
    assert read.loaded.mean_is_vector
    assert "Teacher" in (out / "model" / "README.md").read_text()
    again = CliRunner().invoke(app, [*arguments, *sizes, *steps], catch_exceptions=False)
    assert json.loads(again.stdout)["step"] == 3


def test_states_are_learned_where_nothing_is_said(body, tokens, tmp_path):
    assert isinstance(distillation(body, tokens, tmp_path / "run"), StatesDistillation)
    with pytest.raises(HeadstartError, match="give --data"):
        distillation(body, None, tmp_path / "run")
