"""Scores on what was learned flatter: evaluation says how many of its examples the model has learned from."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from headstart.errors import HeadstartError
from headstart.evaluation.label_evaluation import evaluate_labels
from headstart.interchange.model_folder import load_model
from headstart.tasks import learned_inputs
from headstart.tasks.finetuning.finetune import finetune
from headstart.tasks.finetuning.finetune_recipe import FinetuneRecipe
from headstart.tasks.learned_inputs import FILE, kept_of, learned_among
from headstart.tasks.predictor import Predictor

RECIPE = FinetuneRecipe(max_steps=2, min_steps=2, counted_words="none")


def write(path, examples):
    rows = [{"text": t, "label": c} for t, c in zip(examples.inputs, examples.targets, strict=True)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def said(predictor, path):
    return [note for note in evaluate_labels(predictor, path).notes if "has learned from" in note]


def test_evaluation_says_what_was_learned_and_is_silent_about_the_rest(encoder, places, tmp_path):
    places = replace(places, inputs=[f"{text} {n}" for n, text in enumerate(places.inputs)])
    learned = places.subset(range(0, len(places), 3))
    held = places.subset(place for place in range(len(places)) if place % 3)
    made = finetune(encoder, learned, RECIPE, seed=0)
    made.save(tmp_path / "model", "# Model")
    again = Predictor.of(load_model(tmp_path / "model"))
    whole = write(tmp_path / "whole.jsonl", places)
    loud = write(tmp_path / "loud.jsonl", replace(learned, inputs=[f" {t.upper()}" for t in learned.inputs]))
    for predictor in (made, again):
        assert said(predictor, write(tmp_path / "held.jsonl", held)) == []
        (sentence,) = said(predictor, whole)
        assert f"from {len(learned)} of the {len(places)} examples;" in sentence
        assert f"from {len(learned)} of the {len(learned)} examples;" in said(predictor, loud)[0]
    later = finetune(load_model(tmp_path / "model"), held, RECIPE, seed=0)
    assert f"from {len(places)} of the {len(places)} examples" in said(later, whole)[0]
    (tmp_path / "model" / FILE).unlink()
    assert said(Predictor.of(load_model(tmp_path / "model")), whole) == []


def test_of_many_inputs_a_sample_is_kept_and_its_share_is_right(monkeypatch):
    monkeypatch.setattr(learned_inputs, "MOST", 500)
    kept = kept_of([f"text {n}" for n in range(5_000)])
    assert len(kept) == 500
    assert np.array_equal(kept, kept_of(["text 1"], kept))
    (sentence,) = learned_among([f"text {n}" for n in range(4_000, 6_000)], kept)
    words = sentence.replace(",", "").split()
    count, of = int(words[words.index("from") + 1]), int(words[words.index("of") + 2])
    assert 0.3 < count / of < 0.7  # half were learned
    assert 100 < of < 300  # a tenth can be compared
    assert "examples that could be compared, of 2,000;" in sentence
    assert learned_among([f"text {n}" for n in range(5_000, 9_000)], kept) == []


@pytest.mark.parametrize("held", [{}, {"hashes": torch.zeros(2, 2)}, {"other": torch.zeros(2)}, None])
def test_a_damaged_file_is_one_sentence(tmp_path, held):
    if held is None:
        (tmp_path / FILE).write_bytes(b"no tensors")
    else:
        save_file(held, tmp_path / FILE)
    with pytest.raises(HeadstartError, match=r"learned_inputs\.safetensors"):
        learned_inputs.read_learned_inputs(tmp_path)
