"""Word vectors and ELMo as baselines: what they compute, what they learn, how they are read."""

import json

import numpy as np
import pytest
import torch

from headstart.errors import HeadstartError
from headstart.evaluation.evaluation import EvaluationSettings, evaluate
from headstart.models.vectors.elmo import CharacterOptions, ElmoOptions, LstmOptions, build
from headstart.models.vectors.word_vectors import WordVectors
from headstart.tasks.baselines.word_vectors import ElmoVectors, StaticVectors, VectorClassifier, read_baseline
from headstart.tasks.examples import Examples
from headstart.tasks.finetuning.finetune import finetune
from headstart.tasks.finetuning.finetune_recipe import FinetuneRecipe
from headstart.tasks.metrics import score

RECIPE = FinetuneRecipe(learning_rate=3e-3, min_steps=10, max_steps=10, max_tokens=48)


@pytest.fixture(scope="module")
def words(places) -> WordVectors:
    """Vectors in which the first place tells sea from home, up to noise."""
    random = np.random.default_rng(0)
    known: dict[str, int] = {}
    for text, label in zip(places.inputs, places.targets, strict=True):
        first, second = text.lower().split()[1], text.lower().split()[4]
        known |= dict.fromkeys((first, second), 1 if label == "sea" else -1)
    names = [*known, "the", "and"]
    matrix = random.normal(size=(len(names), 8)).astype(np.float32)
    matrix[:, 0] = [2.0 * known.get(name, 0) for name in names]
    return WordVectors(names, np.ones(len(names)), matrix)


@pytest.fixture(scope="module")
def elmo():
    return build(
        ElmoOptions(CharacterOptions(((1, 8), (3, 16)), 1), LstmOptions(32, 16)),
        {"<S>": 1, "</S>": 1, "<UNK>": 1, "the": 3},
        0,
    )


def test_texts_are_means_of_their_words(words):
    vectors = StaticVectors(words)
    found = vectors.of_text("The captain, and unheard-of SHIP")
    assert found.shape == (4, 1, 8)
    expected = words.matrix[[words.index[word] for word in ("the", "captain", "and", "ship")]]
    np.testing.assert_array_equal(found[:, 0], expected)
    assert vectors.of_text("?").shape == (0, 1, 8)


def test_words_have_their_neighbours_beside_them(words):
    found = StaticVectors(words).of_words(["the", "Captain", "unheard"])[:, 0]
    zero = np.zeros(8, np.float32)
    the, captain = words.vector("the"), words.vector("captain")
    np.testing.assert_array_equal(found[0], np.concatenate([zero, the, captain]))
    np.testing.assert_array_equal(found[1], np.concatenate([the, captain, zero]))
    np.testing.assert_array_equal(found[2], np.concatenate([captain, zero, zero]))


def test_elmo_gives_every_word_its_layers(elmo):
    vectors = ElmoVectors(elmo.elmo.eval())
    lines = [["the", "old", "ship"], ["waits"]]
    with torch.no_grad():
        layers, _ = elmo.elmo(lines)
    found = vectors.of_text("the old ship. waits")
    assert found.shape[:2] == (5, len(layers))  # the full stop is a word
    np.testing.assert_allclose(vectors.of_words(["waits"])[0], layers[:, 1, 0].numpy(), atol=1e-5)
    assert vectors.of_text(" ").shape == (0, *found.shape[1:])


def test_what_is_in_the_vectors_is_learned(words, places):
    train, test = places.subset(range(60)), places.subset(range(60, 120))
    system = VectorClassifier(StaticVectors(words), train)
    assert score("classification", test.targets, system.predict(test.inputs))[0].value > 0.95
    assert system.layer_weights == [1.0]
    assert len(system.predict(["", "unheard"])) == 2


def test_pairs_are_compared(words):
    sea, home = ["captain", "ship", "wave", "storm"], ["kitchen", "garden", "window", "table"]
    pairs = [(a, b) for a in sea + home for b in sea + home if a != b]
    targets = ["same" if (a in sea) == (b in sea) else "other" for a, b in pairs]
    system = VectorClassifier(StaticVectors(words), Examples("classification", pairs, targets))
    assert system.predict(pairs) == targets


def test_the_mix_finds_the_layer_that_tells(places):
    class OneLayerTells:
        """Three layers, of which the last one knows the answer."""

        def of_text(self, text):
            random = np.random.default_rng(len(text))
            found = random.normal(size=(4, 3, 6)).astype(np.float32)
            found[:, 2, 0] = (
                1.0 if any(w in text for w in ("captain", "ship", "wave", "storm", "deck")) else -1.0
            )
            return found

        def of_words(self, words):
            return self.of_text(" ".join(words))[: len(words)]

    targets = ["wet" if OneLayerTells().of_text(text)[0, 2, 0] > 0 else "dry" for text in places.inputs]
    system = VectorClassifier(OneLayerTells(), Examples("classification", places.inputs, targets))
    assert system.layer_weights[2] == max(system.layer_weights)
    assert sum(system.layer_weights) == pytest.approx(1)
    assert system.predict(places.inputs) == targets


def test_tags(elmo, speech):
    train, test = speech.subset(range(50)), speech.subset(range(50, 80))
    system = VectorClassifier(ElmoVectors(elmo.elmo.eval()), train)
    predicted = system.predict(test.inputs)
    assert [len(tags) for tags in predicted] == [len(words) for words in test.inputs]
    assert score("tagging", test.targets, predicted)[0].value > 0.9  # spelling alone tells these
    assert len(system.layer_weights) == 3


def test_reading(words, elmo, tmp_path):
    words.save(tmp_path / "run" / "model")
    name, found = read_baseline(tmp_path / "run")
    assert (name, type(found)) == ("run", StaticVectors)
    words.export(tmp_path / "vectors.txt", "glove-text")
    np.testing.assert_allclose(
        read_baseline(tmp_path / "vectors.txt")[1].of_text("ship"), found.of_text("ship"), atol=1e-5
    )
    elmo.save(tmp_path / "elmo" / "model")
    assert isinstance(read_baseline(tmp_path / "elmo")[1], ElmoVectors)
    (tmp_path / "other").mkdir()
    with pytest.raises(HeadstartError, match="neither word vectors nor an ELMo"):
        read_baseline(tmp_path / "other")
    with pytest.raises(HeadstartError, match="no baseline for regression"):
        VectorClassifier(found, Examples("regression", ["a"], [1.0]))


def test_beside_a_model(words, encoder, places, tmp_path):
    rows = [json.dumps({"text": t, "label": c}) for t, c in zip(places.inputs, places.targets, strict=True)]
    for name, chosen in (("train", rows[:60]), ("test", rows[60:])):
        (tmp_path / f"{name}.jsonl").write_text("\n".join(chosen))
    words.save(tmp_path / "w2v")
    predictor = finetune(encoder, places.subset(range(60)), RECIPE, 0)
    predictor.save(tmp_path / "other", "# Other")
    settings = EvaluationSettings(beside=(tmp_path / "w2v", tmp_path / "other"))
    found = evaluate(predictor.as_loaded(), str(tmp_path), settings)
    systems = {"tf-idf", "majority", "w2v", str(tmp_path / "other")}
    assert {row["against"] for row in found.comparisons} == systems
    same = next(row for row in found.comparisons if row["against"] == str(tmp_path / "other"))
    assert (same["difference"], same["p"]) == (0, 1)
    with pytest.raises(HeadstartError, match="name --train"):
        evaluate(predictor.as_loaded(), str(tmp_path / "test.jsonl"), settings)
