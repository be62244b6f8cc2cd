"""The baselines do what they are there for."""

from pathlib import Path

import numpy as np

from headstart.tasks.baselines.word_counts import Majority, strongest_baseline
from headstart.tasks.counted_path import counted_path
from headstart.tasks.counted_words import CountedWords, shape
from headstart.tasks.data.dataset import find_tasks
from headstart.tasks.data.splitting import sample_labels
from headstart.tasks.examples import Examples
from headstart.tasks.metrics import score

SAMPLES = Path(__file__).parent.parent.parent / "samples" / "labels"


def test_counted_words_tell_places_apart(places):
    train, test = places.subset(range(60)), places.subset(range(60, 120))
    assert (
        score("classification", test.targets, strongest_baseline(train).predict(test.inputs))[0].value > 0.95
    )


def test_a_rare_label_is_found_with_few_examples():
    """What stands beside networks is no weaker than what they are given: the same head, weighed alike."""
    task = next(one for one in find_tasks(SAMPLES) if one.name == "spam")
    train, test = sample_labels(task.train, 100, 0), task.test.subset(range(200))
    system = strongest_baseline(train)
    path = counted_path(train, 0)
    answers = [train.labels[one] for one in path.head.scores(test.inputs).argmax(1)]
    assert system.predict(test.inputs) == answers
    unweighed = CountedWords.fit(train).scores(test.inputs).argmax(1)
    right = [
        np.mean([a == b for a, b in zip(its, test.targets, strict=True)])
        for its in (answers, [train.labels[one] for one in unweighed])
    ]
    assert right[0] > right[1] + 0.05


def test_window_tagger_tells_parts_of_speech(speech):
    train, test = speech.subset(range(50)), speech.subset(range(50, 80))
    predicted = strongest_baseline(train).predict(test.inputs)
    assert [len(tags) for tags in predicted] == [len(words) for words in test.inputs]
    assert score("tagging", test.targets, predicted)[0].value > 0.95


def test_more_than_two_classes_and_texts_without_letters():
    train = Examples("classification", ["one !", "two ?", "three .", "!!!"], list("abcd"))
    assert strongest_baseline(train).predict(train.inputs) == list("abcd")
    assert len(strongest_baseline(train).predict(["", "unheard"])) == 2


def test_majority():
    assert Majority(Examples("classification", list("xyz"), ["b", "a", "b"])).predict(["?"]) == ["b"]
    tagger = Majority(Examples("tagging", [["a", "b"], ["a", "c"]], [["X", "Y"], ["X", "Z"]]))
    assert tagger.predict([["b", "new", "a"]]) == [["Y", "X", "X"]]


def test_shape():
    assert [shape(word) for word in ("Gov.", "McAdam", "3,000", "")] == ["Xx.", "XxXx", "0,0", ""]
