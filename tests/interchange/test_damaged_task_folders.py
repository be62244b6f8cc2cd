"""Task folders that lack something say what."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from headstart.errors import HeadstartError
from headstart.interchange.model_folder import LoadedModel, load_model, save_model
from headstart.models.heads import Head
from headstart.models.registry import family_named


@pytest.fixture
def folder(tmp_path, tiny, tokenizer):
    model = tiny("bert", pooler=True)
    head = Head(32, family_named("bert").heads["classification"], 3)
    labels, metadata = ["a", "b", "c"], {"task": "classification"}
    task = LoadedModel(model, tokenizer, "classification", head.weights(), labels, metadata)
    save_model(tmp_path / "model", task, "# Task")
    return tmp_path / "model"


def without(folder, *names):
    tensors = load_file(folder / "model.safetensors")
    kept = {name: tensor for name, tensor in tensors.items() if name not in names}
    assert len(kept) == len(tensors) - len(names)
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})


def test_a_whole_one(folder):
    loaded = load_model(folder)
    assert loaded.labels == ["a", "b", "c"]
    assert loaded.model.pooler is not None


@pytest.mark.parametrize(
    ("missing", "sentence"),
    [
        ("classifier.weight", "lacks classifier.weight, without which a model for classification"),
        ("classifier.bias", "lacks classifier.bias"),
        ("bert.pooler.dense.bias", "lacks the weights \\['pooler.bias"),
        ("bert.encoder.layer.1.output.dense.weight", "lacks the weights \\['encoder.blocks.1"),
    ],
)
def test_missing_weights(folder, missing, sentence):
    without(folder, missing)
    with pytest.raises(HeadstartError, match=sentence):
        load_model(folder)


def test_a_head_of_another_size(folder):
    tensors = load_file(folder / "model.safetensors")
    tensors["classifier.weight"] = torch.zeros(5, 32)
    tensors["classifier.bias"] = torch.zeros(5)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(HeadstartError, match="names 3 labels, but the head has 5"):
        load_model(folder)
