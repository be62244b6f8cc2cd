"""What each way of adapting changes, and what it leaves alone."""

import numpy as np
import pytest
import torch
from safetensors import safe_open

from headstart.errors import HeadstartError
from headstart.interchange.model_folder import LoadedModel, load_model
from headstart.tasks.examples import Examples
from headstart.tasks.finetuning import feature_cache
from headstart.tasks.finetuning.adaptation import parameter_groups
from headstart.tasks.finetuning.finetune import finetune
from headstart.tasks.finetuning.finetune_recipe import FinetuneRecipe
from headstart.tasks.finetuning.lora import LowRankLinear, add_low_rank
from headstart.tasks.kinds.packing import pack
from headstart.tasks.metrics import score
from headstart.tasks.predictor import Predictor

QUICK = FinetuneRecipe(min_steps=6, max_steps=6, max_tokens=32)


def recipe(adapt: str, **settings) -> FinetuneRecipe:
    return QUICK.model_copy(update={"adapt": adapt} | settings)


def changed(loaded: LoadedModel, predictor: Predictor) -> set[str]:
    """Names of the body's weights that are not the pre-trained ones."""
    before = loaded.model.state_dict()
    return {
        name
        for name, tensor in predictor.model.body.state_dict().items()
        if name in before and not torch.equal(tensor, before[name])
    }


@pytest.mark.parametrize("name", ["places", "speech"])
@pytest.mark.parametrize("adapt", ["frozen", "mix", "top-1", "lora"])
def test_learns_in_every_way(encoder, request, name, adapt):
    examples = request.getfixturevalue(name)
    train, test = examples.subset(range(0, 60)), examples.subset(range(60, len(examples)))
    settings = recipe(adapt, min_steps=80, max_steps=80, learning_rate=1e-2)
    predictor = finetune(encoder, train, settings, seed=0)
    assert score(test.task, test.targets, predictor.predict(test.inputs))[0].value > 0.9
    assert predictor.training.adapt == adapt


def test_only_what_adapts_changes(encoder, places):
    """The encoder's prediction head belongs to the head; of two layers, the second is the top one."""
    head = {"prediction_head.dense.weight", "prediction_head.norm.weight"}
    assert not changed(encoder, finetune(encoder, places, recipe("frozen"), 0))
    assert not changed(encoder, finetune(encoder, places, recipe("mix"), 0))
    top = changed(encoder, finetune(encoder, places, recipe("top-1"), 0)) - head
    assert top
    assert all(name.startswith(("encoder.blocks.1.", "encoder.final_norm")) for name in top)
    everything = set(encoder.model.state_dict()) - {"output_bias"}
    assert changed(encoder, finetune(encoder, places, recipe("full"), 0)) == everything
    lora = recipe("lora", lora_targets=["query", "down"])
    matrices = changed(encoder, finetune(encoder, places, lora, 0)) - head
    assert matrices == {
        f"encoder.blocks.{layer}.{part}.weight"
        for layer in (0, 1)
        for part in ("attention.query", "feedforward.down")
    }


def test_counts_of_what_learns(encoder, places):
    width, head = 32, 2 * 32 + 2
    body_head = width * width + width
    frozen_, mixed, lora = (
        finetune(encoder, places, recipe(way, lora_rank=3, lora_targets=["query"]), 0).training
        for way in ("frozen", "mix", "lora")
    )
    assert frozen_.learning_weights == head
    assert mixed.learning_weights == head + 3  # embeddings and two layers
    assert lora.learning_weights == head + body_head + 2 * 3 * (width + width)


@pytest.mark.parametrize("adapt", ["frozen", "mix"])
@pytest.mark.parametrize("name", ["places", "speech"])
def test_cached_states_are_those_of_the_model(encoder, request, name, adapt):
    examples = request.getfixturevalue(name)
    predictor = finetune(encoder, examples, recipe(adapt, dropout=0.0), 0)
    pieces = predictor.kind.encode(encoder.tokenizer, examples.inputs[:9], 32)
    cached = feature_cache.Features(predictor.model, pieces, 0).of([4, 0, 7])
    with torch.no_grad():
        read = predictor.model.read(pack([pieces[i] for i in (4, 0, 7)]))
    assert torch.allclose(cached, read, atol=1e-5)


def test_states_go_to_a_file_where_they_are_large(encoder, places, monkeypatch):
    expected = finetune(encoder, places, recipe("frozen"), 0).probabilities(places.inputs[:5])
    monkeypatch.setattr(feature_cache, "MEMORY_BYTES", 100)
    monkeypatch.setattr(feature_cache, "_kept", type(feature_cache._kept)())
    again = finetune(encoder, places, recipe("frozen"), 0)
    assert np.array_equal(expected, again.probabilities(places.inputs[:5]))
    assert isinstance(next(iter(feature_cache._kept[encoder.model].values())).states, np.memmap)


def test_a_mix_is_the_weighted_mean_of_all_layers(tmp_path, encoder, places):
    """By hand from the states of every layer, each brought to mean 0 and variance 1."""
    predictor = finetune(encoder, places, recipe("mix", counted_words="none"), 0)
    weights, gamma = predictor.facts.mix.weights, predictor.facts.mix.gamma
    assert sum(weights) == pytest.approx(1)
    assert len(set(weights)) == 3
    text = predictor.kind.encode(encoder.tokenizer, places.inputs[:1], 32)[0]
    body = predictor.model.body
    x = body.embed(torch.from_numpy(text.ids)[None])
    stack = body.encoder
    layers = [stack.enter(x, None)]
    context = stack.attention_context(0, x.shape[1], None, None, x)
    for block in stack.blocks:
        layers.append(block(layers[-1], context))
    layers[-1] = stack.final_norm(layers[-1])
    means = [layer[0].mean(0) for layer in layers]
    normed = [(mean - mean.mean()) / torch.sqrt(mean.var(correction=0) + 1e-5) for mean in means]
    state = gamma * sum(weight * layer for weight, layer in zip(weights, normed, strict=True))
    expected = predictor.model.head.output(state)
    with torch.no_grad():
        assert torch.allclose(predictor.model(pack([text]))[0], expected, atol=1e-5)

    predictor.save(tmp_path / "model", "# Mix")
    loaded = Predictor.of(load_model(tmp_path / "model"))
    assert np.array_equal(loaded.probabilities(places.inputs[:4]), predictor.probabilities(places.inputs[:4]))
    transformers = pytest.importorskip("transformers")
    with pytest.raises(ValueError, match="model_type"):  # which has no mix, and must not guess
        transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "model")
    with safe_open(tmp_path / "model" / "model.safetensors", "pt") as file:
        assert "classifier.weight" not in file.keys()  # noqa: SIM118 - no mapping


def test_low_rank_changes_start_at_nothing_and_merge(encoder, tiny):
    ids = torch.arange(40).reshape(2, 20)
    model = tiny("headstart-encoder")
    before = model(ids)
    add_low_rank(model, ["query", "gate"], 3, 6.0, 0.0, seed=0)
    assert torch.equal(model(ids), before)
    layers = [module for module in model.modules() if isinstance(module, LowRankLinear)]
    assert len(layers) == 4
    with torch.no_grad():
        for layer in layers:
            layer.widen.normal_()
    changed_ = model(ids)
    from headstart.tasks.finetuning.lora import merge_low_rank

    changes = merge_low_rank(model)
    assert torch.allclose(model(ids), changed_, atol=1e-4)
    assert not torch.allclose(before, changed_, atol=1e-2)
    assert {len(change.narrow) for change in changes.values()} == {3}
    assert not any(isinstance(module, LowRankLinear) for module in model.modules())
    with pytest.raises(HeadstartError, match="no matrix named"):
        add_low_rank(tiny("gpt2"), ["gate"], 3, 6.0, 0.0, seed=0)


def test_reinitialised_layers_start_at_random(encoder, places):
    still = recipe("full", learning_rate=1e-12, reinitialise=1)
    moved = changed(encoder, finetune(encoder, places, still, 1))
    assert any(name.startswith("encoder.blocks.1.attention.query") for name in moved)
    before = encoder.model.state_dict()["encoder.blocks.0.attention.query.weight"]
    after = finetune(encoder, places, still, 1).model.body.state_dict()
    assert torch.allclose(after["encoder.blocks.0.attention.query.weight"], before, atol=1e-6)


def test_groups_hold_what_learns_once(encoder, places):
    predictor = finetune(encoder, places, recipe("full"), 0)
    groups = parameter_groups(predictor.model, 1.0, 0.5, 0.1)
    assert sum(p.numel() for group in groups for p in group["params"]) == predictor.training.learning_weights
    assert {group["lr"] for group in groups} == {1.0, 0.5, 0.25, 0.125}  # head, two layers, embeddings


def test_what_cannot_be_adapted(encoder, tiny, places):
    with pytest.raises(HeadstartError, match="adapt = 'lore' is wrong"):
        FinetuneRecipe.load(None, ["adapt=lore"])
    with pytest.raises(HeadstartError, match="random weights know nothing to keep"):
        finetune(encoder, places, recipe("frozen"), 0, scratch=True)
    with pytest.raises(HeadstartError, match="would never learn"):
        finetune(encoder, places, recipe("mix", reinitialise=1), 0)
    words = Examples("classification", places.inputs, places.targets, in_words=True)
    decoder = LoadedModel(tiny("headstart-decoder"), encoder.tokenizer, "causal")
    for way in ("frozen", "mix"):
        with pytest.raises(HeadstartError, match="nothing to learn for classification"):
            finetune(decoder, words, recipe(way, max_tokens=60), 0)
    pairs = Examples("embedding", [("a ship", "a boat"), ("a hall", "a house")], [None, None])
    with pytest.raises(HeadstartError, match="nothing to learn for embedding"):
        finetune(encoder, pairs, recipe("frozen"), 0)


def test_rates_fit_way_and_width():
    assert recipe("full").rate(256, False) == recipe("top-2").rate(128, False) == 1e-3
    assert recipe("full").rate(400, False) == pytest.approx(2.5e-4)
    assert recipe("lora").rate(400, False) == pytest.approx(2.5e-3)
    assert recipe("frozen").rate(4096, False) == recipe("mix").rate(64, False) == 3e-3
    assert recipe("full", learning_rate=0.5).rate(400, False) == 0.5
    assert recipe("full", scratch_learning_rate=0.25).rate(400, True) == 0.25
