"""Exported task folders give transformers the same logits."""

import pytest
import torch

from headstart.interchange.model_folder import LoadedModel, load_model
from headstart.models.registry import FAMILIES as FAMILY_MODULES
from headstart.tasks.finetuning.finetune import finetune
from headstart.tasks.finetuning.finetune_recipe import FinetuneRecipe
from headstart.tasks.kinds.packing import pack
from headstart.tasks.predictor import Predictor

transformers = pytest.importorskip("transformers")
FAMILIES = ["bert", "roberta", "gpt1", "gpt2", "llama", "headstart-decoder", "t5", "bart"]
RECIPE = FinetuneRecipe(min_steps=3, max_steps=3, max_tokens=24, counted_words="none", pooling="family")


def ours(predictor: Predictor, inputs: list) -> torch.Tensor:
    pieces = predictor.kind.encode(predictor.tokenizer, inputs, predictor.max_tokens)
    with torch.no_grad():
        return predictor.model(pack(pieces))


def test_classification(tmp_path, encoder, places, documents):
    finetune(encoder, places, RECIPE, seed=1).save(tmp_path / "model", "# Places")
    predictor = Predictor.of(load_model(tmp_path / "model"))
    model = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "model").eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "model")
    texts = [*places.inputs[:8], *(d["text"][:20] for d in documents[:8])]
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
        heads, read = [], 0  # a word's first token is the first to end behind the word's beginning
        for word in words:
            heads.append(int((offsets[:, 1] > read).nonzero()[0]))
            read += len(word) + 1
        assert torch.allclose(ours(predictor, [words]), logits[heads], atol=1e-4)


@pytest.fixture(scope="module")
def pretrained(tiny, tokenizer):
    def make(family: str) -> LoadedModel:
        sizes = {"position_offset": 3} if family == "roberta" else {}  # one more than the id of <pad>
        model = tiny(family, feedforward_width=128, context=64, **sizes)
        head = {"encoder": "masked", "decoder": "causal"}.get(model.config.architecture, "text-to-text")
        return LoadedModel(model, tokenizer, head)

    return make


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_classifies_and_tags(tmp_path, pretrained, places, speech, family):
    for examples, kind in (
        (places, transformers.AutoModelForSequenceClassification),
        (speech, transformers.AutoModelForTokenClassification),
    ):
        folder = tmp_path / examples.task
        if examples.task not in FAMILY_MODULES[family].heads:
            continue
        finetune(pretrained(family), examples, RECIPE, seed=1).save(folder, "# A task")
        predictor = Predictor.of(load_model(folder))
        model, report = kind.from_pretrained(folder, output_loading_info=True)
        assert not report["missing_keys"]
        assert not report["unexpected_keys"]
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        for row in examples.inputs[:4]:
            text = row if isinstance(row, str) else row[0]
            found = tokenizer(text, truncation=True, max_length=24, return_tensors="pt")
            with torch.no_grad():
                theirs = model.eval()(**found).logits[0]
            if examples.task == "tagging":
                first = len(tokenizer("").input_ids) - tokenizer("").input_ids.count(1)  # no </s> before it
                assert torch.allclose(ours(predictor, [[text]])[0], theirs[first], atol=1e-4)
            else:
                assert torch.allclose(ours(predictor, [text])[0], theirs, atol=1e-4)
