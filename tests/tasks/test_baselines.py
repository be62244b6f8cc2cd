"""The baselines do what they are there for."""

from headstart.tasks.baselines.word_counts import Majority, strongest_baseline
from headstart.tasks.counted_words import shape
from headstart.tasks.examples import Examples
from headstart.tasks.metrics import score


def test_counted_words_tell_places_apart(places):
    train, test = places.subset(range(60)), places.subset(range(60, 120))
    assert (
        score("classification", test.targets, strongest_baseline(train).predict(test.inputs))[0].value > 0.95
    )


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
