"""How tokens come about: each step is the tokenizer's own, and the end is what it gives."""

import math

import pytest

from headstart.tokenizer.explained import explain, losses, shares
from headstart.tokenizer.kinds import KINDS

TEXTS = [
    "", " ", "the king", "The King's 1234567 men, don't they'VE (well-known) e.g. x_y?",
    "  two  blanks \t tabs\r\n\nlines   ", "naïve Żółć ﬁ ｆｕｌｌ n\u0303 Ⅷ ½ привет שלום 東京都 東京",
    "😀👩‍👩‍👧‍👦 ﷽ \u200b\ufeff", "a" * 150 + " " * 30 + "b", "▁ is a sign ▁▁ of its own",
    "</s> <s> [MASK] <pad>",
]  # fmt: skip


@pytest.mark.parametrize("kind", list(KINDS))
def test_the_last_step_is_what_the_tokenizer_gives(kinds, documents, kind) -> None:
    tokenizer = kinds[kind]
    numbers = {token: index for index, token in enumerate(tokenizer.tokens)}
    for text in [*TEXTS, documents[0]["text"][:400], documents[-1]["text"][:400]]:
        found = explain(tokenizer, text)
        tokens = [token for word in found.words for token in word.tokens]
        assert [numbers[token] for token in tokens] == tokenizer.encode(text), (kind, text)
        if (unknown := tokenizer.special.unknown) is not None and kind not in ("gpt2", "llama2"):
            assert any(word.unknown for word in found.words) == (unknown in tokenizer.encode(text))
        for word in found.words:
            assert found.normalised[word.start : word.end] or word.text
            now = list(word.parts)
            for join in word.joins:
                now[join.place : join.place + 2] = [join.made]
            if found.manner == "BPE" and word.joins:
                assert now == word.tokens


def test_ways_are_the_likeliest_of_all(kinds) -> None:
    """Against all ways through a short word, written out."""
    tokenizer = kinds["t5"]
    (word,) = explain(tokenizer, "kings").words
    scores = dict(map(tuple, tokenizer.definition["model"]["vocab"]))

    def all_ways(text: str) -> list[list[str]]:
        if not text:
            return [[]]
        cuts = [text[:stop] for stop in range(1, len(text) + 1) if text[:stop] in scores]
        return [[cut, *rest] for cut in cuts for rest in all_ways(text[len(cut) :])]

    every = sorted((sum(scores[one] for one in way) for way in all_ways(word.text)), reverse=True)
    assert [way.score for way in word.ways] == pytest.approx(every[: len(word.ways)])
    assert sum(shares(word.ways)) == pytest.approx(1)
    assert shares(word.ways)[0] == max(shares(word.ways))
    assert all(math.isclose(way.score, sum(scores[one] for one in way.tokens)) for way in word.ways)


def test_what_is_lost_is_told(kinds) -> None:
    for kind, text, lost in [
        ("gpt2", "Żółć  x", False), ("bert", "The  Café", True), ("t5", "a\n\nb", True),
        ("llama3", "x\ty", False),
    ]:  # fmt: skip
        decoded = kinds[kind].decode(kinds[kind].encode(text))
        assert bool(losses(text, decoded)) == lost, (kind, decoded)
    assert losses("The cat", "the cat") == [("T", "t")]
