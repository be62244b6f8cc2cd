"""What a task folder says of itself: typed, versioned, and readable from before there were versions."""

import json

import pytest

from headstart.errors import HeadstartError
from headstart.interchange.model_folder import load_model
from headstart.tasks.facts import VERSION, LayerWeights, TaskFacts, Training
from headstart.tasks.finetuning.finetune import finetune
from headstart.tasks.finetuning.finetune_recipe import FinetuneRecipe
from headstart.tasks.predictor import Predictor

FULL = TaskFacts(
    max_tokens=48,
    in_words=True,
    labels=["a", "b"],
    pairs=False,
    unanswerable=True,
    longest=7,
    mean=2.5,
    commonest="NOUN",
    mix=LayerWeights(1.5, [0.25, 0.75]),
    training=Training(
        9, 60, 3, False, "mix", validation=[{"step": 1, "score": 0.5, "loss": 0.1}], kept_step=1
    ),
)
BEFORE_VERSIONS = {
    "adapt": "mix", "examples": 60, "validation_examples": 0, "max_tokens": 48, "learning_weights": 70,
    "learning_rate": 0.003, "seed": 0, "from_scratch": False, "pairs": False, "windowed_examples": 2, "steps":
    300, "tokens": 9000, "passes": 2400, "seconds": 1.5, "last_loss": 0.1, "mix": {"gamma": 1.1, "weights":
    [0.3, 0.3, 0.4]},
}  # fmt: skip


@pytest.mark.parametrize("facts", [FULL, TaskFacts(), TaskFacts(max_tokens=8, pairs=True)])
def test_facts_come_back(facts):
    said = json.loads(json.dumps(facts.as_dict()))
    assert TaskFacts.read(said, "config.json") == facts
    assert said["version"] == VERSION


def test_a_folder_from_before_there_were_versions(tmp_path, encoder, places):
    recipe = FinetuneRecipe(min_steps=2, max_steps=2, max_tokens=48, adapt="mix")
    predictor = finetune(encoder, places, recipe, seed=0)
    predictor.save(tmp_path / "model", "# Card")
    file = tmp_path / "model" / "config.json"
    config = json.loads(file.read_text())
    config["headstart"]["finetuning"] = BEFORE_VERSIONS
    file.write_text(json.dumps(config))
    loaded = Predictor.of(load_model(tmp_path / "model"))
    assert (loaded.facts.max_tokens, loaded.facts.pairs, loaded.training.adapt) == (48, False, "mix")
    assert loaded.facts.mix == LayerWeights(1.1, [0.3, 0.3, 0.4])
    assert loaded.answers(places.inputs[:3]) == predictor.answers(places.inputs[:3])
    assert TaskFacts.read({"max_tokens": 64}, "") == TaskFacts(max_tokens=64)
    del config["headstart"]["finetuning"]
    file.write_text(json.dumps(config))
    assert Predictor.of(load_model(tmp_path / "model")).facts == TaskFacts()


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"max_tokens": "many"}, r"config.json: finetuning.max_tokens = 'many' is wrong"),
        ({"labels": 3}, "finetuning.labels"),
        (BEFORE_VERSIONS | {"steps": None}, "finetuning.steps"),
        ({"version": VERSION + 1}, "get a newer headstart"),
        ({"version": "1"}, "task facts of version 1"),
    ],
)
def test_facts_that_cannot_be(said, sentence):
    with pytest.raises(HeadstartError, match=sentence):
        TaskFacts.read(said, "config.json")
