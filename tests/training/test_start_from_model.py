"""A model that is there goes on learning: its weights, its tokenizer, its objective."""

from contextlib import nullcontext

import pytest
import torch

from headstart.errors import HeadstartError
from headstart.folder import read_json
from headstart.interchange import model_folder
from headstart.interchange.model_folder import LoadedModel, load_model, save_model
from headstart.interchange.sentence_vectors import SentenceVectors
from headstart.tokenizer.folder import open_tokenizer
from headstart.training import loop, run_folder, trainer
from headstart.training.configuration import configuration
from headstart.training.loop import pretrain
from headstart.training.metrics import read_metrics
from headstart.training.recipe import PretrainRecipe
from headstart.training.restore import load_any
from headstart.training.run_folder import static_start


@pytest.fixture(autouse=True)
def _quick(monkeypatch) -> None:
    monkeypatch.setattr(run_folder, "describe_machine", lambda: {})


def heldout(run) -> list[float]:
    return [event["loss"] for event in read_metrics(run) if event["kind"] == "evaluation"]


@pytest.mark.parametrize("kind", ["masked", "causal", "span-corruption", "denoising"])
def test_it_begins_where_the_other_ended(engine_recipe, tmp_path, kind) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    pretrain(engine_recipe(kind), first)
    # Another family and size than `model` says.
    changes = {
        "model": {"family": "gpt2", "width": 64},
        "start": first / "model",
        "optimiser": {"schedule": "linear"},
    }
    pretrain(engine_recipe(kind, **changes), second)
    assert heldout(second)[0] == pytest.approx(heldout(first)[-1], rel=1e-5)
    assert heldout(second)[-1] < heldout(second)[0]
    before, after = load_model(first), load_model(second)
    assert before.model.config == after.model.config
    assert before.head == after.head
    assert any(
        not torch.equal(a, b)
        for a, b in zip(before.model.parameters(), after.model.parameters(), strict=True)
    )
    assert "Pre-trained from the weights of `model`" in (second / "model" / "README.md").read_text()
    checkpoint = load_any(second / "checkpoints" / "step-12")
    assert checkpoint.model.config == after.model.config


def test_its_configuration_needs_no_weights(engine_recipe, tmp_path, monkeypatch) -> None:
    """They are read once, by the run, and not at all by a dry run or for a checkpoint."""
    pretrain(engine_recipe("causal"), tmp_path / "first")
    recipe = engine_recipe("causal", start=tmp_path / "first")
    loaded = load_model(tmp_path / "first")
    read, reads = model_folder.read_tensors, []

    def noted(files):
        reads.append(files)
        return read(files)

    monkeypatch.setattr(model_folder, "read_tensors", noted)
    assert configuration(recipe) == loaded.model.config
    assert reads == []
    pretrain(recipe, tmp_path / "second")
    assert len(reads) == 1


WITH_HEADS = {
    "headstart-encoder": ("masked", {}),
    "headstart-decoder": ("causal", {}),
    "bert": ("features", {}),
    "gpt2": ("causal", {"feedforward_width": 128}),
    "llama": ("causal", {"tied": False}),
    "t5": ("text-to-text", {"tied": False}),
}


@pytest.mark.parametrize("family", WITH_HEADS)
def test_an_outline_is_the_model_without_its_weights(family, tiny, tokenizer, tmp_path) -> None:
    """Whatever decides about a configuration beside `config.json`: heads, an output of its own."""
    head, sizes = WITH_HEADS[family]
    model = tiny(family, vocab_size=tokenizer.vocab_size, **sizes)
    save_model(tmp_path / "model", model, tokenizer, head, "card")
    whole, outline = (load_model(tmp_path / "model", weights=weights) for weights in (True, False))
    assert outline.model.config == whole.model.config
    assert outline.head == whole.head
    assert outline.tokenizer.sha256 == whole.tokenizer.sha256
    shapes = {name: tensor.shape for name, tensor in whole.model.state_dict().items()}
    assert {name: tensor.shape for name, tensor in outline.model.state_dict().items()} == shapes


def test_longer_rows_than_before(engine_recipe, tmp_path) -> None:
    pretrain(engine_recipe("causal"), tmp_path / "first")
    pretrain(engine_recipe("causal", context=48, start=tmp_path / "first"), tmp_path / "second")
    assert load_model(tmp_path / "second").model.config.context == 48
    assert read_json(tmp_path / "second" / "model" / "config.json")["max_position_embeddings"] == 48


def test_cut_off_it_goes_on_from_its_checkpoint(engine_recipe, tmp_path, monkeypatch) -> None:
    pretrain(engine_recipe("causal"), tmp_path / "first")
    recipe = engine_recipe("causal", start=tmp_path / "first" / "model")
    pretrain(recipe, tmp_path / "whole")
    update = loop.Run.update

    def limited(self):
        if self.step == 7:
            raise KeyboardInterrupt
        return update(self)

    with monkeypatch.context() as patch:
        patch.setattr(loop.Run, "update", limited)
        with pytest.raises(KeyboardInterrupt):
            pretrain(recipe, tmp_path / "cut")
    pretrain(recipe, tmp_path / "cut")
    ours, theirs = (tmp_path / run / "model" / "model.safetensors" for run in ("cut", "whole"))
    assert ours.read_bytes() == theirs.read_bytes()


def test_what_does_not_fit_is_said(engine_recipe, tmp_path) -> None:
    pretrain(engine_recipe("denoising"), tmp_path / "bart")
    pretrain(engine_recipe("span-corruption"), tmp_path / "t5")
    start = tmp_path / "bart"
    for recipe, sentence in [
        (engine_recipe("span-corruption", start=start), "encoded with another tokenizer"),
        (engine_recipe("causal", start=start), "is a text-to-text model, and objective.kind=causal trains"),
        (engine_recipe("denoising", start=start, context=64), "context=64 is more than the 32 positions"),
        (engine_recipe("causal", start=tmp_path / "none"), "there is no model folder"),
    ]:
        with pytest.raises(HeadstartError, match=sentence):
            pretrain(recipe, tmp_path / "run")


def test_checkpoints_of_nobody_knows_what_are_not_taken_up(engine_recipe, tmp_path) -> None:
    pretrain(engine_recipe(), tmp_path / "run")
    (tmp_path / "run" / "run.json").unlink()
    with pytest.raises(HeadstartError, match=r"holds other files \(checkpoints"):
        pretrain(engine_recipe(), tmp_path / "run")


def test_rates_of_a_model_that_goes_on(tmp_path):
    """A tenth of a new model's, unless a rate is given; and the saved recipe says which they are."""
    new = PretrainRecipe.load(None, ["tokens=t"]).optimiser
    for start in ("static", "random"):
        assert PretrainRecipe.load(None, ["tokens=t", f"start={start}"]).optimiser == new
    on = PretrainRecipe.load(None, ["tokens=t", "start=runs/model"])
    assert on.optimiser.matrix_rate == pytest.approx(new.matrix_rate / 10)
    assert on.optimiser.vector_rate == pytest.approx(new.vector_rate / 10)
    on.save(tmp_path / "recipe.yaml")
    assert PretrainRecipe.load(tmp_path / "recipe.yaml", []) == on
    given = ["tokens=t", "start=runs/model", "optimiser.matrix_rate=0.004", "optimiser.clip=2"]
    asked = PretrainRecipe.load(None, given).optimiser
    assert (asked.matrix_rate, asked.clip) == (0.004, 2.0)
    assert asked.vector_rate == on.optimiser.vector_rate


def test_a_body_without_an_output_gets_one_and_keeps_its_pooling(engine_recipe, tiny, tmp_path) -> None:
    """As a folder of sentence-transformers has it: its weights are taken, its pooling is kept."""
    masked = engine_recipe("masked")
    own = open_tokenizer(masked.tokens)
    body = tiny("bert", vocab_size=own.vocab_size, context=64)
    vectors = SentenceVectors(("mean",), max_tokens=32)
    save_model(tmp_path / "body", LoadedModel(body, own, "features", vectors=vectors), "# A body")
    recipe = engine_recipe("masked", start=tmp_path / "body")
    pretrain(recipe, tmp_path / "run")
    after = load_model(tmp_path / "run")
    assert after.head == "masked"
    assert after.model.config.prediction_head
    assert after.vectors is not None
    assert after.vectors.pooling == ("mean",)
    assert after.mean_is_vector
    losses = heldout(tmp_path / "run")
    assert losses[-1] < losses[0]
    moved = (after.model.embedding.weight - body.embedding.weight).abs().max()
    assert 0 < moved < 0.1  # at a tenth of a new model's rates: it went on, it did not begin again


def test_a_static_start_is_kept(engine_recipe, tmp_path, monkeypatch) -> None:
    """The model before its first step; a random start is none, and has to be asked for by no name."""
    bars = []
    monkeypatch.setattr(trainer, "ProgressBar", lambda label, *_: bars.append(label) or nullcontext())
    pretrain(engine_recipe("masked", start="static"), tmp_path / "run")
    begun, after = load_model(static_start(tmp_path / "run")), load_model(tmp_path / "run")
    assert static_start(tmp_path / "run" / "model") == static_start(tmp_path / "run")
    assert begun.model.config == after.model.config
    moved = (begun.model.embedding.weight - after.model.embedding.weight).abs().max()
    assert 0 < moved < 1
    assert len(bars) == 1
    assert bars[0].startswith("count the static start in "), "it takes seconds in which no step is made"
    pretrain(engine_recipe("masked"), tmp_path / "random")
    with pytest.raises(HeadstartError, match="has no static start beside it"):
        static_start(tmp_path / "random")
