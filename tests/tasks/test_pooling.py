"""What a text's scores are read from, where a family leaves a choice."""

import json

import numpy as np
import pytest

from headstart.errors import HeadstartError
from headstart.interchange.model_folder import LoadedModel, load_model, save_model
from headstart.tasks.card import task_card
from headstart.tasks.finetuning.finetune import finetune
from headstart.tasks.finetuning.finetune_recipe import FinetuneRecipe
from headstart.tasks.predictor import Predictor

QUICK = FinetuneRecipe(min_steps=5, max_steps=5, max_tokens=32, counted_words="none")


def means(**settings) -> FinetuneRecipe:
    return QUICK.model_copy(update={"pooling": "mean"} | settings)


@pytest.fixture(params=["bert", "roberta"])
def first_token_reader(request, tiny, tokenizer) -> LoadedModel:
    """A model whose family reads a text's scores from its first token."""
    shape = {"position_offset": 1 + tokenizer.special.pad} if request.param == "roberta" else {}
    return LoadedModel(tiny(request.param, **shape), tokenizer, "features")


@pytest.mark.parametrize("adapt", ["full", "frozen", "mix", "top-1"])
def test_a_head_on_the_mean_survives_its_folder(first_token_reader, places, tmp_path, adapt) -> None:
    predictor = finetune(first_token_reader, places, means(adapt=adapt), seed=0)
    predictor.save(tmp_path / "model", "# Card")
    loaded = load_model(tmp_path / "model")
    assert loaded.head == "mean-classification"
    again = Predictor.of(loaded)
    for ours, theirs in zip(
        predictor.probabilities(places.inputs), again.probabilities(places.inputs), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    said = json.loads((tmp_path / "model" / "config.json").read_text())
    assert not {"architectures", "model_type"} & said.keys(), "transformers would read the first token"


def test_it_reads_the_mean(first_token_reader, places) -> None:
    """With the same weights the scores are those of the mean of the last states."""
    predictor = finetune(first_token_reader, places, means(), seed=0)
    body, head = predictor.model.body, predictor.model.head
    ids, _ = predictor.tokenizer.with_special(predictor.tokenizer.encode(places.inputs[0]))
    states = body(body.embedding.weight.new_tensor([ids]).long())[0].float()
    scores = head.output(states.mean(0)).softmax(0).detach().numpy()
    np.testing.assert_allclose(predictor.probabilities(places.inputs[:1])[0], scores, atol=1e-6)


def test_auto_follows_what_the_model_was_trained_for(first_token_reader, places, tmp_path) -> None:
    def head(loaded: LoadedModel, **settings) -> str | None:
        return finetune(loaded, places, QUICK.model_copy(update=settings), seed=0).model.head_kind

    save_model(
        tmp_path / "model", first_token_reader.model, first_token_reader.tokenizer, "features", "# Card"
    )
    assert head(load_model(tmp_path / "model")) == "classification"
    (tmp_path / "model" / "1_Pooling").mkdir()
    file = tmp_path / "model" / "1_Pooling" / "config.json"
    file.write_text(json.dumps({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}))
    assert head(load_model(tmp_path / "model")) == "classification"
    file.write_text(json.dumps({"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}))
    sentences = load_model(tmp_path / "model")
    assert head(sentences) == "mean-classification"
    assert "the mean of its tokens" in task_card(finetune(sentences, places, QUICK, seed=0))
    assert head(sentences, pooling="family") == "classification"
    assert head(sentences, adapt="lora") == "classification", "PEFT knows no other"


def test_tags_have_nothing_to_pool(first_token_reader, speech) -> None:
    assert finetune(first_token_reader, speech, means(), seed=0).model.head_kind == "tagging"


def test_where_there_is_no_mean(encoder, tiny, tokenizer, places) -> None:
    assert finetune(encoder, places, means(), seed=0).model.head_kind == "classification"
    with pytest.raises(HeadstartError, match="a gpt2 model has no head that reads a mean"):
        finetune(LoadedModel(tiny("gpt2"), tokenizer, "causal"), places, means(), seed=0)
    with pytest.raises(HeadstartError, match=r"^settings: an adapter .adapt=lora. has the head"):
        FinetuneRecipe.checked({"adapt": "lora", "pooling": "mean"})
