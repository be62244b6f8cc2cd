"""Fine-tuning learns, repeats itself, and survives saving."""

import numpy as np
import pytest
import torch

from headstart.errors import HeadstartError
from headstart.interchange.model_folder import LoadedModel, load_model
from headstart.tasks.examples import Examples, TaskData
from headstart.tasks.finetuning.finetune import finetune
from headstart.tasks.finetuning.finetune_recipe import FinetuneRecipe
from headstart.tasks.finetuning.learning_curve import run_point
from headstart.tasks.metrics import score
from headstart.tasks.predictor import Predictor

QUICK = FinetuneRecipe(min_steps=5, max_steps=5, max_tokens=32)
LEARNS = FinetuneRecipe(
    learning_rate=3e-3, scratch_learning_rate=3e-3, min_steps=60, max_steps=60, max_tokens=48
)


def halves(examples: Examples) -> tuple[Examples, Examples]:
    return examples.subset(range(0, 2 * len(examples) // 3)), examples.subset(
        range(2 * len(examples) // 3, len(examples))
    )


@pytest.mark.parametrize("scratch", [False, True])
@pytest.mark.parametrize("name", ["places", "speech"])
def test_learns_a_simple_task(encoder, request, name, scratch):
    train, test = halves(request.getfixturevalue(name))
    predictor = finetune(encoder, train, LEARNS, seed=0, scratch=scratch)
    assert score(test.task, test.targets, predictor.predict(test.inputs))[0].value > 0.95
    assert predictor.training.from_scratch is scratch


def test_same_seed_same_model_and_nothing_else_moves(encoder, places):
    before = {name: tensor.clone() for name, tensor in encoder.model.state_dict().items()}
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, again, other = (finetune(encoder, places, QUICK, seed) for seed in (7, 7, 8))
    assert torch.equal(torch.rand(3), expected)  # the caller's random numbers are left alone
    for name, tensor in first.model.state_dict().items():
        assert torch.equal(tensor, again.model.state_dict()[name])
    assert not torch.equal(first.model.head.output.weight, other.model.head.output.weight)
    for name, tensor in encoder.model.state_dict().items():
        assert torch.equal(tensor, before[name])


@pytest.mark.parametrize("name", ["places", "speech"])
def test_saved_and_loaded_predicts_the_same(tmp_path, encoder, request, name):
    examples = request.getfixturevalue(name)
    predictor = finetune(encoder, examples, QUICK, seed=0)
    predictor.save(tmp_path / "model", "# Card")
    loaded = Predictor.of(load_model(tmp_path / "model"))
    assert loaded.labels == predictor.labels
    assert loaded.facts == predictor.facts
    for ours, theirs in zip(
        predictor.probabilities(examples.inputs), loaded.probabilities(examples.inputs), strict=True
    ):
        assert np.array_equal(ours, theirs)


def test_long_word_lists_get_every_tag(encoder, speech):
    predictor = finetune(encoder, speech, QUICK, seed=0)
    words = [word for sentence in speech.inputs for word in sentence] * 3
    long, short = predictor.predict([words, speech.inputs[0]])
    assert len(long) == len(words)
    assert len(short) == len(speech.inputs[0])


def test_bfloat16_agrees_roughly(encoder, places):
    single = finetune(encoder, places, QUICK, seed=0)
    single.model.body.dtype = torch.bfloat16
    low = np.array(single.probabilities(places.inputs))
    single.model.body.dtype = torch.float32
    assert np.abs(low - np.array(single.probabilities(places.inputs))).max() < 0.02


def test_layer_decay_moves_lower_layers_less(encoder, places):
    def moved(decay: float) -> float:
        recipe = QUICK.model_copy(update={"layer_decay": decay})
        after = finetune(encoder, places, recipe, seed=0).model.body.encoder.blocks[0].attention.query.weight
        return float((after - encoder.model.encoder.blocks[0].attention.query.weight).detach().norm())

    assert moved(0.5) < 0.4 * moved(1.0)


def test_steps_follow_the_recipe():
    recipe = FinetuneRecipe(epochs=2, min_steps=10, max_steps=50, batch_examples=8)
    assert [recipe.steps(n) for n in (4, 80, 1000)] == [10, 20, 50]
    assert [FinetuneRecipe().steps(n) for n in (4, 80, 400, 1000, 8000)] == [60, 100, 500, 600, 1500]
    assert FinetuneRecipe(epochs=1).steps(8000) == 500
    assert FinetuneRecipe(max_steps=20).steps(100) == 20


def test_what_cannot_be_fine_tuned(encoder, tiny, tokenizer, places):
    words = LoadedModel(tiny("transformer-2017"), tokenizer, "text-to-text")
    with pytest.raises(HeadstartError, match="no head for classification"):
        finetune(words, places, QUICK, 0)
    one = Examples("classification", ["a", "b"], ["x", "x"])
    with pytest.raises(HeadstartError, match="one class alone"):
        finetune(encoder, one, QUICK, 0)
    with pytest.raises(HeadstartError, match="loss became"):
        finetune(encoder, places, FinetuneRecipe(learning_rate=1e30, min_steps=20), 0)
    with pytest.raises(HeadstartError, match="did you mean 'epochs'"):
        FinetuneRecipe.load(None, ["epoch=3"])
    with pytest.raises(HeadstartError, match="knows no labels"):
        Predictor.of(encoder)


def test_points_are_pure(tmp_path, encoder, places):
    from headstart.interchange.model_folder import save_model

    save_model(tmp_path / "model", encoder.model, encoder.tokenizer, "masked", "# Encoder")
    train, test = halves(places)
    task = TaskData("places", train, test)
    threads = torch.get_num_threads()
    try:
        for system in ("fine-tuned", "from-scratch", "tf-idf", "majority"):
            first, again = (run_point(tmp_path / "model", task, 20, system, 3, QUICK) for _ in range(2))
            assert (first["score"], first["labels"]) == (again["score"], 20)
            assert {"task", "metric", "system", "seed", "seconds", "test_examples"} <= set(first)
        with pytest.raises(HeadstartError, match="did you mean 'tf-idf'"):
            run_point(tmp_path / "model", task, 20, "tfidf", 3, QUICK)
    finally:
        torch.set_num_threads(threads)
