"""How a tokenizer comes to its tokens, step by step, for those who want to see it.

What is found here are the tokens that `Tokenizer.encode` gives; a test holds both together. BPE joins pairs
(Sennrich et al. 2016), WordPiece takes the longest piece (Schuster & Nakajima 2012), Unigram the likeliest
way through all pieces that fit (Kudo 2018).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from headstart.errors import HeadstartError
from headstart.folder import JSONObject
from headstart.tokenizer.base import Tokenizer, encodable
from headstart.tokenizer.engine import text_engine

Manner = Literal["BPE", "WordPiece", "Unigram"]
UNKNOWN_PENALTY = 10.0
"""By how much an unknown character is less likely than the least likely piece, in nats (SentencePiece)."""
WAYS = 6
"""The likeliest ways through a word that are told."""
LONGEST_WORD = 100
"""Letters beyond which WordPiece gives up."""


@dataclass(frozen=True)
class Join:
    """Two neighbours become one."""

    place: int
    """Of the left one, among the parts as they stand before."""
    rank: int
    """Its place in the list of merges, from 0."""
    made: str


@dataclass(frozen=True)
class Candidate:
    """A piece of the vocabulary that fits into a word."""

    start: int
    end: int
    """Characters of the word."""
    token: str
    score: float | None = None
    """Its log-probability, in nats; None where the manner has none."""


@dataclass(frozen=True)
class Way:
    """One way through a word."""

    tokens: list[str]
    score: float
    """The sum of the log-probabilities, in nats."""


@dataclass(frozen=True)
class Word:
    """A part of a text that is cut into tokens by itself."""

    text: str
    """As the model of the vocabulary reads it: normalised, in its alphabet."""
    start: int
    end: int
    """Characters of the normalised text."""
    parts: list[str]
    """What it begins as: single characters or bytes; of WordPiece and Unigram nothing is joined."""
    tokens: list[str]
    """What it becomes."""
    joins: list[Join] = field(default_factory=list)
    candidates: list[Candidate] = field(default_factory=list)
    """Of WordPiece the pieces that fit where each of its tokens begins, the longest first; of Unigram all."""
    ways: list[Way] = field(default_factory=list)
    """Of Unigram the likeliest, the best first."""
    unknown: bool = False
    """Whether something in it is in no piece."""


@dataclass(frozen=True)
class Explained:
    """A text on its way to tokens."""

    manner: Manner
    normalised: str
    words: list[Word]


def explain(tokenizer: Tokenizer, text: str) -> Explained:
    """How the tokens of a text come about.

    Raises:
        HeadstartError: a vocabulary of another manner than the three.
    """
    definition = tokenizer.definition
    model = definition["model"]
    manner = model.get("type")
    if manner not in ("BPE", "WordPiece", "Unigram"):
        raise HeadstartError(f"{tokenizer.path} cuts words by {manner!r}, which cannot be shown step by step")
    engine = text_engine(definition, tokenizer.special)
    normalised = encodable(text)
    if engine.normalizer is not None:
        normalised = engine.normalizer.normalize_str(normalised)
    found = [(normalised, (0, len(normalised)))]
    if engine.pre_tokenizer is not None:
        found = engine.pre_tokenizer.pre_tokenize_str(normalised)
    kinds: dict[str, type[_Bpe] | type[_WordPiece] | type[_Unigram]] = {
        "BPE": _Bpe, "WordPiece": _WordPiece, "Unigram": _Unigram,
    }  # fmt: skip
    cut = kinds[manner](model, tokenizer)
    words = [cut.word(its, start, end) for its, (start, end) in found if its]
    return Explained(manner, normalised, words)


class _Bpe:
    def __init__(self, model: JSONObject, tokenizer: Tokenizer) -> None:
        pairs = [tuple(one.split(" ")) if isinstance(one, str) else tuple(one) for one in model["merges"]]
        self.ranks = {pair: rank for rank, pair in reversed(list(enumerate(pairs)))}
        self.vocabulary: Mapping[str, int] = model["vocab"]
        self.whole = bool(model.get("ignore_merges"))
        self.by_bytes = bool(model.get("byte_fallback"))
        self.fuses = bool(model.get("fuse_unk"))
        self.unknown: str | None = model.get("unk_token")
        self.suffix: str = model.get("end_of_word_suffix") or ""
        self.prefix: str = model.get("continuing_subword_prefix") or ""
        self.special = {tokenizer.tokens[index] for index in tokenizer.special.all}

    def word(self, text: str, start: int, end: int) -> Word:
        if self.whole and text in self.vocabulary and text not in self.special:
            return Word(text, start, end, list(text), [text])
        parts, unknown = self._characters(text)
        now = list(parts)
        joins: list[Join] = []
        while True:
            places = [
                (self.ranks[pair], place) for place, pair in enumerate(pairwise(now)) if pair in self.ranks
            ]
            if not places:
                return Word(text, start, end, parts, now, joins=joins, unknown=unknown)
            rank, place = min(places)
            made = now[place] + now[place + 1].removeprefix(self.prefix)
            joins.append(Join(place, rank, made))
            now[place : place + 2] = [made]

    def _characters(self, text: str) -> tuple[list[str], bool]:
        """What a word begins as, and whether something of it is unknown."""
        parts: list[str] = []
        unknown = before = False
        for place, character in enumerate(text):
            own = (self.prefix if place else "") + character + (self.suffix if place + 1 == len(text) else "")
            spelled = [f"<0x{byte:02X}>" for byte in own.encode()]
            known = own in self.vocabulary
            if known:
                parts.append(own)
            elif self.by_bytes and all(one in self.vocabulary for one in spelled):
                parts += spelled
                known = True
            elif self.unknown is not None and not (before and self.fuses):
                parts.append(self.unknown)
            before = not known
            unknown = unknown or before
        return parts, unknown


class _WordPiece:
    def __init__(self, model: JSONObject, tokenizer: Tokenizer) -> None:
        special = {tokenizer.tokens[index] for index in tokenizer.special.all}
        self.vocabulary = {token for token in model["vocab"] if token not in special}
        self.prefix: str = model["continuing_subword_prefix"]
        self.unknown: str = model["unk_token"]
        self.longest: int = model.get("max_input_chars_per_word", LONGEST_WORD)

    def word(self, text: str, start: int, end: int) -> Word:
        tokens: list[str] = []
        candidates: list[Candidate] = []
        place = 0
        while place < len(text) and len(text) <= self.longest:
            before = self.prefix if place else ""
            fit = [
                Candidate(place, stop, before + text[place:stop])
                for stop in range(len(text), place, -1)
                if before + text[place:stop] in self.vocabulary
            ]
            if not fit:
                break
            candidates += fit
            tokens.append(fit[0].token)
            place = fit[0].end
        if place < len(text):
            return Word(text, start, end, list(text), [self.unknown], candidates=candidates, unknown=True)
        return Word(text, start, end, list(text), tokens, candidates=candidates)


class _Unigram:
    def __init__(self, model: JSONObject, tokenizer: Tokenizer) -> None:
        special = {tokenizer.tokens[index] for index in tokenizer.special.all}
        self.scores = {token: score for token, score in model["vocab"] if token not in special}
        self.longest = max(map(len, self.scores), default=1)
        self.least = min(score for _, score in model["vocab"]) - UNKNOWN_PENALTY
        unknown = model.get("unk_id")
        self.unknown = None if unknown is None else tokenizer.tokens[unknown]
        self.by_bytes = bool(model.get("byte_fallback"))

    def word(self, text: str, start: int, end: int) -> Word:
        fitting = [
            Candidate(first, stop, text[first:stop], self.scores[text[first:stop]])
            for first in range(len(text))
            for stop in range(first + 1, min(len(text), first + self.longest) + 1)
            if text[first:stop] in self.scores
        ]
        known = {one.start for one in fitting if one.end == one.start + 1}
        steps = fitting + [
            Candidate(place, place + 1, text[place], self.least)
            for place in range(len(text))
            if place not in known
        ]
        by_end: dict[int, list[Candidate]] = {}
        for one in steps:
            by_end.setdefault(one.end, []).append(one)
        best: list[list[tuple[float, list[Candidate]]]] = [[(0.0, [])]]
        for stop in range(1, len(text) + 1):
            ways = [
                (score + (one.score or 0.0), [*way, one])
                for one in by_end.get(stop, ())
                for score, way in best[one.start]
            ]
            best.append(sorted(ways, key=lambda way: -way[0])[:WAYS])
        found = [Way(self._tokens(way, known, text), score) for score, way in best[-1]]
        unknown = any(one.end == one.start + 1 and one.start not in known for one in best[-1][0][1])
        return Word(
            text, start, end, list(text), found[0].tokens, candidates=fitting, ways=found, unknown=unknown
        )

    def _tokens(self, way: list[Candidate], known: set[int], text: str) -> list[str]:
        """The tokens of a way: unknown characters that stand together are one, or bytes."""
        tokens: list[str] = []
        before = False
        for one in way:
            new = one.end == one.start + 1 and one.start not in known
            if not new:
                tokens.append(one.token)
            elif self.by_bytes:
                tokens += [f"<0x{byte:02X}>" for byte in text[one.start].encode()]
            elif not before and self.unknown is not None:
                tokens.append(self.unknown)
            before = new
        return tokens


def shares(ways: list[Way]) -> list[float]:
    """Of the ways that are told, how much of their probability each has."""
    most = max((way.score for way in ways), default=0.0)
    weights = [math.exp(way.score - most) for way in ways]
    return [weight / sum(weights) for weight in weights]


def losses(text: str, decoded: str) -> list[tuple[str, str]]:
    """Where a text that came back differs: what stood there, and what stands there now."""
    from difflib import SequenceMatcher

    matcher: SequenceMatcher[str] = SequenceMatcher(None, text, decoded, autojunk=False)
    return [(text[a:b], decoded[c:d]) for kind, a, b, c, d in matcher.get_opcodes() if kind != "equal"]
