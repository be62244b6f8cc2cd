"""Signals and rules on texts with known answers."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.corpus.recipe import PAGE_RULES, RULES, CorpusRecipe
from headstart.corpus.rules import parse_rule
from headstart.corpus.signals import SIGNALS, compute
from headstart.corpus.words import split
from headstart.errors import HeadstartError


def signals(text: str, language: str = "en") -> dict[str, float]:
    return compute(text, split(text), language)


@pytest.mark.parametrize(
    ("signal", "text", "value"),
    [
        ("words", "one two, three!", 3),
        ("mean_word_length", "ab abcd", 3),
        ("alphabetic_words", "a1 22 33 bb", 0.5),
        ("hashes_per_word", "# a #b c", 0.5),
        ("ellipses_per_word", "so... and… on then", 0.5),
        ("bullet_lines", "- a\n* b\nc\nd", 0.5),
        ("ellipsis_lines", "well...\nyes\nno…\nx", 0.5),
        ("stop_words", "The THE of cat", 2),
        ("duplicate_lines", "a\nb\na\na", 0.5),
        ("duplicate_line_characters", "aaaa\nbb\naaaa", 0.4),
        ("duplicate_paragraphs", "a\n\nb\n\na\n\nc", 0.25),
        ("duplicate_paragraph_characters", "aaaa\n\nbb\n\naaaa", 0.4),
        ("top_2_gram", "aa bb aa bb cc", 0.8),  # aa bb: twice, 8 of 10 characters
        ("top_3_gram", "a b c d a b c", 6 / 7),
        ("top_4_gram", "a b c d e", 0),
        ("duplicate_5_grams", "a b c d e x a b c d e", 5 / 11),  # the first occurrence does not count
        ("duplicate_5_grams", "a b c d e f x a b c d e f", 6 / 13),  # overlapping repeats count once
        ("duplicate_6_grams", "a b c d e x a b c d e", 0),
        ("lorem_ipsum", "so: Lorem Ipsum dolor", 1),
        ("curly_brackets", "f(x) { return {} }", 2),
        ("sentences", 'One. Two?! "Three." Four... 3.5 e.g five', 4),
        ("sentences", "今天天气很好。我们去公园。", 2),
        ("punctuated_lines", "A.\nB\nC”\nD,", 0.5),
        ("short_lines", "short\n" + "x" * 30, 0.5),
        ("newlines_per_word", "a\nb\nc d", 0.5),
    ],
)
def test_known_value(signal: str, text: str, value: float) -> None:
    assert signals(text)[signal] == pytest.approx(value)


def test_signals_that_mean_nothing_are_nan_and_never_remove() -> None:
    found = signals("a text in a language without a list", "xx")
    assert math.isnan(found["stop_words"])
    assert not parse_rule("stop_words < 2").removes({"stop_words": np.array([math.nan])})[0]
    assert math.isnan(signals("今天天气很好我们去公园", "zh")["mean_word_length"])


def test_chinese_words_are_its_characters() -> None:
    assert signals("今天天气很好我们去公园", "zh")["words"] == 11


@given(st.text(max_size=300))
def test_any_text_has_all_signals(text: str) -> None:
    found = signals(text)
    assert set(found) == set(SIGNALS)
    shares = [name for name in SIGNALS if "lines" in name or "gram" in name or "characters" in name]
    assert all(0 <= found[name] <= 1 for name in shares)


@given(st.lists(st.sampled_from(["river", "stone", "the", "of", "42", "Straße", "東", "京"]), max_size=60))
def test_ngrams_against_plain_python(words: list[str]) -> None:
    grams = list(zip(*(words[n:] for n in range(5)), strict=False))
    lengths = [len(word) for word in words]
    covered: set[int] = set()
    for start, gram in enumerate(grams):
        if gram in grams[:start]:
            covered |= set(range(start, start + 5))
    expected = sum(lengths[i] for i in covered) / max(sum(lengths), 1)
    assert signals(" ".join(words))["duplicate_5_grams"] == pytest.approx(expected)
    assert len(set(split(" ".join(words)).ngrams(5).tolist())) == len(set(grams))


@given(st.text(alphabet="abc XYZ.,!\n", max_size=80))
def test_digest_ignores_case_spaces_and_punctuation(text: str) -> None:
    loud = text.upper().replace(" ", " \n ").replace(".", " ; ").replace(",", "-").replace("!", "?")
    if split(text).hashes.size:
        assert split(text).digest() == split(loud).digest()
        assert split(text).digest() != split(text + " more").digest()


def test_every_default_rule_can_be_read() -> None:
    for rule in [*RULES.values(), *PAGE_RULES.values()]:
        assert parse_rule(str(rule)).signal in SIGNALS


def test_given_rules_replace_by_name_and_off_switches_off() -> None:
    recipe = CorpusRecipe.load(None, ["rules.too_few_words=words < 3", "page_rules.curly_brackets=off"])
    assert recipe.rules["too_few_words"] == "words < 3"
    assert recipe.rules["top_2_gram"] == RULES["top_2_gram"]
    assert recipe.page_rules["curly_brackets"] is None


def test_unknown_signal_names_the_nearest() -> None:
    with pytest.raises(HeadstartError, match="did you mean 'sentences'"):
        CorpusRecipe.load(None, ["rules.mine=sentence < 3"])
    with pytest.raises(HeadstartError, match="not of the form"):
        CorpusRecipe.load(None, ["rules.mine=sentences is 3"])
