"""Signals and rules on texts with known answers."""

import math
import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from headstart.corpus.filters.rules import parse_rule
from headstart.corpus.filters.signals import SIGNALS, STOP_WORDS, compute_signals, stop_word_hashes
from headstart.corpus.recipe import PAGE_RULES, RULES, CorpusRecipe
from headstart.corpus.text.word_tokens import tokenize
from headstart.corpus.text.words import SPACE, split_words
from headstart.errors import HeadstartError


def signals(text: str, language: str = "en") -> dict[str, float]:
    return compute_signals(text, split_words(text), stop_word_hashes(STOP_WORDS.get(language, "")), language)


@pytest.mark.parametrize(
    ("signal", "text", "value"),
    [
        ("words", "one two, three!", 3),
        ("mean_word_length", "ab abcd", 3),
        ("alphabetic_words", "a1, 22 (33) bb.", 0.5),
        ("alphabetic_tokens", "a1, 22 (33) bb.", 2 / 8),
        ("alphabetic_tokens", "a \U0001f600 \U0001d400", 2 / 3),
        ("hashes_per_word", "# a #b c", 2 / 5),
        ("ellipses_per_word", "so... and… on then", 2 / 6),
        ("bullet_lines", "- a\n* b\nc\nd", 0.5),
        ("ellipsis_lines", "well...\nyes\nno…\nx", 0.5),
        ("stop_words", "The THE of cat", 2),
        ("duplicate_lines", "a\nb\na\na", 0.5),
        ("duplicate_line_characters", "aaaa\nbb\naaaa", 4 / 12),
        ("duplicate_characters_of_lines", "aaaa\nbb\naaaa", 0.4),
        ("duplicate_paragraphs", "a\n\nb\n\na\n\nc", 0.25),
        ("duplicate_paragraph_characters", "aaaa\n\nbb\n\naaaa", 4 / 14),
        ("top_2_gram", "aa bb aa bb cc", 10 / 14),  # aa bb: twice, with its space
        ("top_3_gram", "a b c d a b c", 10 / 13),
        ("top_4_gram", "a b c d e", 7 / 9),
        ("duplicate_5_grams", "a b c d e x a b c d e", 5 / 21),  # the first occurrence does not count
        ("duplicate_5_grams", "a b c d e f x a b c d e f", 5 / 25),  # the search goes on behind a repeat
        ("duplicate_6_grams", "a b c d e x a b c d e", 0),
        ("lorem_ipsum", "so: Lorem Ipsum dolor", 1),
        ("curly_brackets", "f(x) { return {} }", 2),
        ("sentences", 'One. Two?! "Three." Four... 3.5 e.g five', 4),
        ("sentences", "今天天气很好。我们去公园。", 2),
        ("punctuated_lines", "A.\nB\nC”\nD?", 0.5),
        ("short_lines", "x" * 30 + "\n" + "x" * 31, 0.5),
        ("sentences", "A title\n\nOne line. Two", 3),
        ("newlines_per_word", "a\nb\nc d", 0.5),
        ("long_lines", "x" * 200 + "\n" + "x" * 199, 1),
        ("list_sentences", "Anna Bea Carl Dora Emil Fritz Gerd Hans Ida and the others. Short one.", 0.5),
        ("odd_sentences", "Short. This sentence is neither short nor very long.", 0.5),
        ("technical_sentences", "x = {(1 + 2) / (3 + 4)}. Words and words.", 0.5),
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
    shares = [name for name, signal in SIGNALS.items() if signal.meaning.startswith("share")]
    assert all(0 <= found[name] <= 1 or math.isnan(found[name]) for name in shares)


WORDS = st.lists(st.sampled_from(["river", "stone", "the", "of", "42", "Straße", "東", "京"]), max_size=60)


def repeated_plainly(words: list[str], n: int) -> int:
    """Gopher's repeated n-grams as datatrove walks through them: behind a repeat by n words, else by one."""
    seen, place, characters = set(), 0, 0
    while place <= len(words) - n:
        gram = tuple(words[place : place + n])
        if gram in seen:
            characters += sum(map(len, gram))
            place += n
        else:
            seen.add(gram)
            place += 1
    return characters


@given(WORDS)
def test_ngrams_against_plain_python(words: list[str]) -> None:
    text = " ".join(words)
    found = signals(text)
    signs = split_words(text).signs_of_word  # two where most words are signs of Chinese
    between = " " if signs == 1 else ""
    for n in range(5, 11):
        repeated = repeated_plainly(words, n * signs)
        assert found[f"duplicate_{n}_grams"] == pytest.approx(repeated / max(len(text), 1))
    for n in (2, 3, 4):
        size = n * signs
        grams = [between.join(words[place : place + size]) for place in range(len(words) - size + 1)]
        gram, count = Counter(grams).most_common(1)[0] if grams else ("", 0)
        assert found[f"top_{n}_gram"] == pytest.approx(min(len(gram) * count / max(len(text), 1), 1))
    assert len(set(split_words(text).ngrams(5).tolist())) == len(
        set(zip(*(words[n:] for n in range(5)), strict=False))
    )


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Hello, world!", "Hello|,|world|!"),
        ("wait... (ok)", "wait|...|(|ok|)"),
        ("3.5 10,000 12:30 a@b.org snake_case", "3.5|10,000|12:30|a@b.org|snake_case"),
        ("well-known, 1-2, B-52, 16-pin", "well|-|known|,|1|-|2|,|B-52|,|16|-|pin"),
        ("In the U.S. J. Doe, e.g. Mr. X.", "In|the|U.S.|J.|Doe|,|e.g.|Mr.|X."),
        ("The end.Another one.", "The|end|.|Another|one|."),
        ("5km, 12GB, 3rd, C++, re-", "5|km|,|12|GB|,|3rd|,|C++|,|re-"),
        ("(see https://a.org/b-c?d=1).", "(|see|https://a.org/b-c?d=1|)|."),
        ("and/or one,two", "and|/|or|one|,|two"),
        ("-5 @name", "-5|@name"),
        ("don't", "don|'t"),
        ("今天。好", "今|天|。|好"),
    ],
)
def test_tokens(text: str, tokens: str) -> None:
    found = tokenize(text, split_words(text), "en")
    assert "|".join(text[a:b] for a, b in zip(found.starts, found.ends, strict=True)) == tokens


@pytest.mark.parametrize(
    ("language", "text", "tokens"),
    [
        ("en", "E-Mail und/oder am 3. Mai, Nr. 7", "E|-|Mail|und|/|oder|am|3|.|Mai|,|Nr|.|7"),
        ("de", "E-Mail und/oder am 3. Mai, Nr. 7", "E-Mail|und|/|oder|am|3.|Mai|,|Nr.|7"),
        ("de", "24/7 bzw. 1-2 und ab", "24|/|7|bzw.|1|-|2|und|ab"),
        ("de", "Am 3. \U0001f600. Gut", "Am|3.|\U0001f600|.|Gut"),
        ("en", "J. \U0001f600. Good", "J.|\U0001f600|.|Good"),
        ("es", "ex-presidente de 3.", "ex-presidente|de|3|."),
        (
            "en",
            "zero\u200bwidth \u200bspace\u200b a•b b***d",
            "zero\u200bwidth|\u200bspace\u200b|a•b|b***d",
        ),
    ],
)
def test_tokens_of_a_language(language: str, text: str, tokens: str) -> None:
    found = tokenize(text, split_words(text), language)
    assert "|".join(text[a:b] for a, b in zip(found.starts, found.ends, strict=True)) == tokens


@given(st.text(max_size=200))
def test_tokens_cover_everything_but_space(text: str) -> None:
    words = split_words(text)
    found = tokenize(text, words, "en")
    assert (found.starts < found.ends).all()
    assert (found.ends[:-1] <= found.starts[1:]).all()
    covered = np.zeros(len(words.points) + 1, np.int8)
    np.add.at(covered, found.starts, 1)
    np.add.at(covered, found.ends, -1)
    assert (np.cumsum(covered[:-1]) == (words.classes != SPACE)).all()


@given(st.text(alphabet="abc XYZ.,!\n", max_size=80))
def test_digest_ignores_case_spaces_and_punctuation(text: str) -> None:
    assume(not re.search(r"(?<![a-zA-Z])![a-zA-Z]", text))  # `!x` is a negation, see test_same_text.py
    loud = text.upper().replace(" ", " \n ").replace(".", " ; ").replace(",", "-").replace("!", "?")
    if split_words(text).hashes.size:
        assert split_words(text).digest() == split_words(loud).digest()
        assert split_words(text).digest() != split_words(text + " more").digest()


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
