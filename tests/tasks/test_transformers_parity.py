"""Exported task folders give transformers the same logits."""

import pytest
import torch

from headstart.interchange.model_folder import load_model
from headstart.tasks.finetune import FinetuneRecipe, finetune
from headstart.tasks.packing import encode, pack
from headstart.tasks.predictor import Predictor

transformers = pytest.importorskip("transformers")
RECIPE = FinetuneRecipe(min_steps=3, max_steps=3, max_tokens=24)


def ours(predictor: Predictor, inputs: list) -> torch.Tensor:
    pieces = encode(predictor.tokenizer, inputs, predictor.model.body.config.context)
    with torch.no_grad():
        return predictor.model(pack(pieces))


def test_classification(tmp_path, encoder, places, documents):
    finetune(encoder, places, RECIPE, seed=1).save(tmp_path / "model", "# Places")
    predictor = Predictor.of(load_model(tmp_path / "model"))
    model = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "model").eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "model")
    texts = [*places.inputs[:8], *(d["text"] for d in documents[:8])]  # the latter are cut
    with torch.no_grad():
        theirs = model(**tokenizer(texts, padding=True, truncation=True, return_tensors="pt")).logits
    assert torch.allclose(ours(predictor, texts), theirs, atol=1e-4)
    assert model.config.id2label == {0: "home", 1: "sea"}


def test_tagging(tmp_path, encoder, speech):
    finetune(encoder, speech, RECIPE, seed=1).save(tmp_path / "model", "# Speech")
    predictor = Predictor.of(load_model(tmp_path / "model"))
    model = transformers.AutoModelForTokenClassification.from_pretrained(tmp_path / "model").eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "model")
    for words in speech.inputs[:10]:
        found = tokenizer(" ".join(words), return_offsets_mapping=True, return_tensors="pt")
        offsets = found.pop("offset_mapping")[0]
        with torch.no_grad():
            logits = model(**found).logits[0]
        # A word's first token is the one behind the word before; it may hold the space alone.
        heads, read = [], ""
        for word in words:
            heads.append(int((offsets[:, 1] > len(read)).nonzero()[0]))
            read += f" {word}" if read else word
        assert torch.allclose(ours(predictor, [words]), logits[heads], atol=1e-4)
