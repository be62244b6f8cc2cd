"""Counted words and characters: the features, what they answer, and the path beside a network."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from headstart.errors import HeadstartError
from headstart.interchange.model_folder import COUNTED_FILE, load_model
from headstart.interchange.transfer import export_model
from headstart.tasks.baselines.word_counts import CountedClassifier
from headstart.tasks.counted_path import counted_path
from headstart.tasks.counted_words import BUCKETS, CountedWords, Counts, features
from headstart.tasks.examples import Examples
from headstart.tasks.finetuning.finetune import finetune
from headstart.tasks.finetuning.finetune_recipe import FinetuneRecipe
from headstart.tasks.finetuning.network_share import network_share
from headstart.tasks.metrics import score
from headstart.tasks.predictor import Predictor
from headstart.tasks.reload_check import check, write_check

QUICK = FinetuneRecipe(min_steps=6, max_steps=6, max_tokens=32)
TEXTS = ["The ship,  the Ship; an island!", "", "天地 玄黄 😀 ship", "a\tb\nc-d e's"]


def test_features_are_those_of_scikit_learn():
    """The same n-grams are told apart, as often as they are there; hashes are our own."""
    from sklearn.feature_extraction.text import CountVectorizer

    counts = features(TEXTS, "words and characters").toarray()
    words = CountVectorizer(ngram_range=(1, 2), token_pattern=r"\w+|[^\w\s]+")
    runs = CountVectorizer(analyzer="char_wb", ngram_range=(2, 5))
    for part, theirs in ((counts[:, :BUCKETS], words), (counts[:, BUCKETS:], runs)):
        expected = theirs.fit_transform(TEXTS).toarray()
        kept = part[:, part.any(0)]
        assert sorted(map(tuple, kept.T)) == sorted(map(tuple, expected.T))


def test_a_feature_has_the_same_bucket_in_every_text():
    alone, among = features(["ship"], "words and characters"), features(TEXTS, "words and characters")
    assert set(alone.indices) < set(among[[2]].indices)
    assert np.array_equal(
        features(TEXTS, "words").toarray(), among.toarray() * (np.arange(2 * BUCKETS) < BUCKETS)
    )


def test_scores_do_not_depend_on_the_other_texts(places):
    head = CountedWords.fit(places)
    together = head.scores(places.inputs)
    assert np.allclose(together[7], head.scores([places.inputs[7]])[0], atol=1e-6)
    assert np.allclose(together.sum(1), 0, atol=1e-5)  # of two labels
    assert head.scores([""]).shape == (1, 2)


@pytest.mark.parametrize("task", ["classification", "multi-label", "regression", "tagging"])
def test_a_head_answers_every_kind(places, speech, task):
    targets = {
        "classification": places.targets,
        "multi-label": [("even", "sea") if one == "sea" else ("even",) for one in places.targets],
        "regression": [float(one == "sea") for one in places.targets],
    }
    train = speech if task == "tagging" else Examples(task, places.inputs, targets[task])
    answers = CountedClassifier(train).predict(train.inputs)
    assert score(task, train.targets, answers)[0].value > 0.95


def test_a_label_that_a_fold_lacks_is_unlikely():
    train = Examples(
        "classification", ["a ship", "a hall", "a boat", "a room"], ["sea", "home", "sea", "home"]
    )
    scores = CountedWords.fit(train, ["air", "home", "sea"]).scores(["a ship", "a room"])
    assert scores.argmax(1).tolist() == [2, 1]


def test_held_out_scores_are_of_heads_that_have_not_seen_the_example(places):
    """An example whose words stand nowhere else cannot be told when it is held out."""
    odd = ["zyx wvu"] * 2
    train = Examples("classification", [*places.inputs, *odd], [*places.targets, "sea", "sea"])
    path = counted_path(train, 0)
    own = path.head.scores(odd)[0]
    assert abs(own[1] - own[0]) > 2 * abs(float(path.held_out[-1][1] - path.held_out[-1][0]))


@pytest.mark.parametrize("task", ["classification", "tagging"])
def test_counts_of_all_serve_every_part(places, speech, task):
    """A head that is fitted to rows counted before is the one that counts by itself."""
    given = places if task == "classification" else speech
    part_of = range(0, len(given), 3)
    sizes = [len(its) if task == "tagging" else 1 for its in given.targets]
    ends = np.cumsum(sizes)
    rows = np.concatenate([np.arange(ends[place] - sizes[place], ends[place]) for place in part_of])
    alone = CountedWords.fit(given.subset(part_of), given.labels)
    part = CountedWords.fit(given.subset(part_of), given.labels, Counts.of(given).part(rows))
    assert np.array_equal(part.columns, alone.columns)
    assert np.array_equal(part.weights, alone.weights)
    assert np.array_equal(part.scores_of(Counts.of(given).rows), alone.scores(given.inputs))


def test_networks_that_are_compared_share_one_path(places):
    """It is fitted once to equal examples and anew to others; what learns beside it changes none of it."""
    path = counted_path(places, 0)
    weights, held_out = path.head.weights.copy(), [one.clone() for one in path.held_out]
    assert counted_path(replace(places, inputs=list(places.inputs)), 0) is path
    assert counted_path(places, 1) is not path
    turned = replace(places, targets=places.targets[1:] + places.targets[:1])
    assert counted_path(turned, 0) is not path
    path.head.changed(0.5, np.ones(len(places.labels)))
    assert np.array_equal(path.head.weights, weights)
    assert all(map(torch.equal, path.held_out, held_out))


def test_learning_beside_a_path_leaves_it_as_it_was(encoder, places):
    path = counted_path(places, 0)
    weights, bias = path.head.weights.copy(), path.head.bias.copy()
    held_out = [one.clone() for one in path.held_out]
    for _ in range(2):
        finetune(encoder, places, FinetuneRecipe(epochs=1), 0)
    assert np.array_equal(path.head.weights, weights)
    assert np.array_equal(path.head.bias, bias)
    assert all(map(torch.equal, path.held_out, held_out))


def test_words_that_tell_nothing_are_left_out(places):
    mixed = np.random.default_rng(0).permutation(places.targets).tolist()
    assert counted_path(replace(places, targets=mixed), 0) is None
    assert counted_path(places.subset(range(20)), 0) is None
    assert counted_path(places, 0).told > 0.5


@pytest.mark.parametrize("name", ["places", "speech"])
def test_the_path_is_part_of_the_model(tmp_path, encoder, request, name):
    examples = request.getfixturevalue(name)
    predictor = finetune(encoder, examples.subset(range(60)), QUICK, 0)
    assert predictor.training.counted_told > 0.5
    given = examples.inputs[60:70]
    predictor.save(tmp_path / "model", "# Model")
    again = Predictor.of(load_model(tmp_path / "model"))
    for ours, theirs in zip(predictor.probabilities(given), again.probabilities(given), strict=True):
        assert np.allclose(ours, theirs, atol=1e-6)
    # By hand: what the network says and what counts say, added.
    pieces = predictor.kind.encode(encoder.tokenizer, given, 32)
    network = predictor.by_piece(
        np.concatenate(predictor.network_outputs(pieces)).reshape(-1, len(predictor.labels)), pieces
    )
    whole = np.concatenate([one.reshape(-1, len(predictor.labels)) for one in network])
    summed = torch.from_numpy(whole + predictor.counted.scores(given)).softmax(-1)
    found = np.concatenate([one.reshape(-1, len(predictor.labels)) for one in predictor.probabilities(given)])
    assert np.allclose(found, summed, atol=1e-5)

    transformers = pytest.importorskip("transformers")
    with pytest.raises(ValueError, match="model_type"):  # which would leave the path out
        transformers.AutoModel.from_pretrained(tmp_path / "model")
    with pytest.raises(HeadstartError, match="counted words beside a network have no class"):
        export_model(tmp_path / "model", tmp_path / "exported")
    (tmp_path / "model" / COUNTED_FILE).unlink()
    with pytest.raises(HeadstartError, match=f"lacks {COUNTED_FILE}"):
        load_model(tmp_path / "model")


def test_none_leaves_the_path_out(encoder, places):
    predictor = finetune(encoder, places, QUICK.model_copy(update={"counted_words": "none"}), 0)
    assert predictor.counted is None
    assert predictor.training.network_share is None


def test_a_network_that_misleads_counts_little(encoder, places):
    """One that is sure of the wrong label is silenced; one that is right is not."""
    train, held = places.subset(range(60)), places.subset(range(60, 120))
    predictor = finetune(encoder, train, FinetuneRecipe(adapt="frozen", counted_words="none"), 0)
    predictor.counted = CountedWords.fit(train).changed(0.1, np.zeros(2))
    assert network_share(predictor, held) > 0.5
    predictor.scale_network(-1.0)
    assert network_share(predictor, held) < 0.3


def test_another_path_than_the_one_trained_is_noticed(tmp_path, encoder, places):
    predictor = finetune(encoder, places, QUICK, 0)
    predictor.save(tmp_path / "model", "# Model")
    write_check(tmp_path / "model", predictor)
    assert check(tmp_path / "model", Predictor.of(load_model(tmp_path / "model"))) < 1e-3
    predictor.counted = predictor.counted.changed(1.1, np.zeros(2))
    with pytest.raises(HeadstartError, match="does not compute what it did"):
        check(tmp_path / "model", predictor)
    predictor.counted = None
    with pytest.raises(HeadstartError, match="does not compute what it did"):
        check(tmp_path / "model", predictor)


def test_a_damaged_path_is_noticed(tmp_path, encoder, places):
    predictor = finetune(encoder, places, QUICK, 0)
    predictor.save(tmp_path / "model", "# Model")
    kept = load_file(tmp_path / "model" / COUNTED_FILE)
    save_file(kept | {"weights": kept["weights"][:-1]}, tmp_path / "model" / COUNTED_FILE)
    with pytest.raises(HeadstartError, match="do not belong together"):
        Predictor.of(load_model(tmp_path / "model"))


@pytest.mark.parametrize("task", ["classification", "multi-label", "regression"])
def test_a_network_that_counts_nothing_takes_no_label_s_share_along(encoder, places, task):
    """How common a label is, and what a number is on average, is said beside the network: without it the
    answers are as common as in the training data."""
    kept = np.random.default_rng(0).random(len(places)) < 0.6
    sea = [one == "sea" and bool(its) for one, its in zip(places.targets, kept, strict=True)]
    named = {
        "classification": ["sea" if one else "home" for one in sea],
        "multi-label": [("even", "sea") if one else ("even",) for one in sea],
        "regression": [50.0 + one for one in sea],
    }
    train = Examples(task, places.inputs, named[task])
    predictor = finetune(encoder, train, QUICK, 0)
    predictor.scale_network(0.0)
    answers = (
        predictor.predict(train.inputs) if task == "regression" else predictor.probabilities(train.inputs)
    )
    found = np.mean(answers) - 50 if task == "regression" else np.mean([one[-1] for one in answers])
    assert abs(found - np.mean(sea)) < 0.08
