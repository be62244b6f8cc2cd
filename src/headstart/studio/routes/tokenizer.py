"""The Tokenizer view: a text cut by tokenizers, step by step; what a corpus costs; the vocabulary."""

from functools import lru_cache
from pathlib import Path
from typing import Annotated

import numpy as np
from fastapi import APIRouter
from pydantic import BaseModel, Field

from headstart.errors import HeadstartError
from headstart.studio.folders import Folders, kind_of
from headstart.studio.state import StudioState
from headstart.tokenizer.base import Tokenizer
from headstart.tokenizer.explained import Word, explain, losses, shares
from headstart.tokenizer.folder import DEFINITION, open_tokenizer
from headstart.tokenizer.report import compare_tokenizers, words_of
from headstart.tokenizer.shards import TokenRows

router = APIRouter()

LONGEST = 4_000  # characters of a text that is cut step by step
STEPS = 200  # words of it whose steps are told
COUNTED = 50_000_000  # tokens of a folder that are counted for the vocabulary
PAGE = 100
At = Annotated[str, Field(max_length=1000)]


class Cut(BaseModel):
    """A text and who cuts it."""

    at: At
    text: str = Field(max_length=LONGEST)


class TokenAnswer(BaseModel):
    """One token of a text."""

    id: int
    token: str
    """As the vocabulary writes it."""
    text: str
    """For people."""
    start: int
    end: int
    """Characters of the text."""
    unknown: bool


class JoinAnswer(BaseModel):
    """Two neighbours become one."""

    place: int
    rank: int
    made: str


class CandidateAnswer(BaseModel):
    """A piece that fits into a word."""

    start: int
    end: int
    token: str
    score: float | None


class WayAnswer(BaseModel):
    """One way through a word, with its share of the probability of those that are told."""

    tokens: list[str]
    score: float
    share: float


class WordAnswer(BaseModel):
    """A part of the text that is cut by itself."""

    text: str
    parts: list[str]
    tokens: list[str]
    first: int
    """The number of its first token in the text."""
    joins: list[JoinAnswer]
    candidates: list[CandidateAnswer]
    ways: list[WayAnswer]
    unknown: bool


class CutAnswer(BaseModel):
    """A text as tokens, how they came about, and what came back."""

    folder: str
    """Where the tokenizer lies."""
    manner: str
    vocabulary: int
    bytes: int
    words: int
    tokens: list[TokenAnswer]
    opening: list[str]
    closing: list[str]
    """Special tokens that the template puts around a text."""
    typed: list[str]
    """Special tokens that stand in the text, and are plain text there."""
    normalised: str
    steps: list[WordAnswer]
    decoded: str
    lost: list[tuple[str, str]]
    sha256: str


class Compare(BaseModel):
    """Tokenizers over a corpus."""

    tokenizers: list[At] = Field(min_length=1, max_length=2)
    corpus: At
    megabytes: float = Field(2.0, gt=0, le=50)


class Figures(BaseModel):
    """What a text costs."""

    name: str
    documents: int
    bytes: int
    tokens: int
    bytes_per_token: float | None
    tokens_per_word: float | None
    error: float | None
    """Half the 95 % interval of tokens per word."""
    unknown_share: float | None


class Compared(BaseModel):
    """One tokenizer over the corpus, and over its parts."""

    at: str
    whole: Figures
    languages: list[Figures]
    domains: list[Figures]
    unused: int


class Entry(BaseModel):
    """One token of the vocabulary."""

    id: int
    token: str
    text: str
    bytes: int
    kind: str
    """special, bytes (of no whole character), begins (a word), or inside."""
    count: int | None


class Vocabulary(BaseModel):
    """A page of the vocabulary."""

    entries: list[Entry]
    found: int
    size: int
    counted: int | None
    """How many tokens of how many were counted; None: there is no tokens folder."""
    of: int | None


@router.post("/tokenizer/cut")
def cut(studio: StudioState, asked: Cut) -> CutAnswer:
    """A text as tokens, with every step."""
    tokenizer = _open(studio.folders, asked.at)
    text = asked.text
    ids, spans = tokenizer.encode_spans(text)
    explained = explain(tokenizer, text)
    framed = tokenizer.with_special(list(ids))[0]
    begin = next((n for n in range(len(framed) - len(ids) + 1) if framed[n : n + len(ids)] == list(ids)), 0)
    special = [tokenizer.tokens[index] for index in sorted(tokenizer.special.all)]
    decoded = tokenizer.decode(ids)
    first, steps = 0, []
    for word in explained.words[:STEPS]:
        steps.append(_word(word, first))
        first += len(word.tokens)
    return CutAnswer(
        folder=studio.folders.address(tokenizer.path.parent), manner=explained.manner,
        vocabulary=tokenizer.vocab_size, bytes=len(text.encode(errors="replace")),
        words=len(words_of(text)),
        tokens=[
            TokenAnswer(
                id=index, token=tokenizer.tokens[index], text=tokenizer.token_text(index), start=int(start),
                end=int(end), unknown=index == tokenizer.special.unknown,
            )
            for index, (start, end) in zip(ids, spans, strict=True)
        ],
        opening=[tokenizer.tokens[index] for index in framed[:begin]],
        closing=[tokenizer.tokens[index] for index in framed[begin + len(ids) :]],
        typed=[token for token in special if token and token in text],
        normalised=explained.normalised, steps=steps, decoded=decoded, lost=losses(text, decoded),
        sha256=tokenizer.sha256,
    )  # fmt: skip


@router.post("/tokenizer/compare")
def compare(studio: StudioState, asked: Compare) -> list[Compared]:
    """Bytes per token and tokens per word, by language and domain."""
    tokenizers = {at: _open(studio.folders, at) for at in asked.tokenizers}
    report = compare_tokenizers(tokenizers, studio.folders.find(asked.corpus), int(1e6 * asked.megabytes))

    def figures(name: str, row: object) -> Figures:
        assert isinstance(row, dict)
        return Figures(
            name=name, documents=row["documents"], bytes=row["bytes"], tokens=row["tokens"],
            bytes_per_token=_known(row["bytes_per_token"]), tokens_per_word=_known(row["tokens_per_word"]),
            error=_known(row["tokens_per_word_error"]), unknown_share=_known(row["unknown_share"]),
        )  # fmt: skip

    return [
        Compared(
            at=at, whole=figures("all", found),
            languages=[figures(name, row) for name, row in found["languages"].items()],
            domains=[figures(name, row) for name, row in found["domains"].items()],
            unused=found["unused"]["entries"],
        )
        for at, found in report["tokenizers"].items()
    ]  # fmt: skip


@router.get("/tokenizer/vocabulary")
def vocabulary(studio: StudioState, at: At, search: str = "", order: str = "id", page: int = 0) -> Vocabulary:
    """Tokens whose text holds `search`, by id, length or how often they stand in the tokens folder."""
    tokenizer = _open(studio.folders, at)
    counts, of = _counts(studio.folders, at, tokenizer)
    found = [
        index
        for index in range(tokenizer.vocab_size)
        if tokenizer.tokens[index] and (search in tokenizer.token_text(index) or search == str(index))
    ]
    if order == "long":
        found.sort(key=lambda index: -len(tokenizer.pieces[index]))
    elif order in ("often", "seldom") and counts is not None:
        found.sort(key=lambda index: int(counts[index]) * (-1 if order == "often" else 1))
    begin = max(page, 0) * PAGE
    return Vocabulary(
        entries=[_entry(tokenizer, index, counts) for index in found[begin : begin + PAGE]],
        found=len(found), size=tokenizer.vocab_size, of=of,
        counted=None if counts is None else int(counts.sum()),
    )  # fmt: skip


def _entry(tokenizer: Tokenizer, index: int, counts: np.ndarray | None) -> Entry:
    piece = tokenizer.pieces[index]
    try:
        text, whole = piece.decode(), True
    except UnicodeDecodeError:
        text, whole = piece.decode(errors="replace"), False
    kind = "special" if index in tokenizer.special.all else "bytes" if not whole else "inside"
    if kind == "inside" and text[:1].isspace():
        kind = "begins"
    return Entry(
        id=index, token=tokenizer.tokens[index], text=tokenizer.token_text(index),
        bytes=len(piece), kind=kind,
        count=None if counts is None else int(counts[index]),
    )  # fmt: skip


def _counts(folders: Folders, at: str, tokenizer: Tokenizer) -> tuple[np.ndarray | None, int | None]:
    """How often each token stands in a tokens folder of the same tokenizer: that at the address, or the first
    in the studio's folders."""
    places = [folders.find(at), *(folders.find(one.at) for one in folders.listing() if one.kind == "tokens")]
    for place in places:
        if kind_of(place) != "tokens":
            continue
        try:
            if open_tokenizer(place).sha256 == tokenizer.sha256:
                return _counted(place, place.stat().st_mtime_ns, tokenizer.vocab_size)
        except HeadstartError:  # damaged, and another folder may do
            continue
    return None, None


@lru_cache(maxsize=4)
def _counted(folder: Path, changed: int, size: int) -> tuple[np.ndarray, int]:
    """Counts `[V]` over the beginning of the training split, and how many tokens it has."""
    rows = TokenRows(folder, "train", 1)
    of = len(rows)
    ids, _ = rows.beginning(min(of, COUNTED))
    return np.bincount(np.asarray(ids, dtype=np.int64), minlength=size), of


def _open(folders: Folders, at: str) -> Tokenizer:
    """The tokenizer of a folder: its own, its model's, or that of its newest state."""
    folder = folders.find(at)
    states = [folders.find(state.at) for state in reversed(folders.states(at))]
    for place in (folder, folder / "model", folder / "tokenizer", *states):
        if (place / DEFINITION).is_file():
            return _opened(place, (place / DEFINITION).stat().st_mtime_ns)
    return open_tokenizer(folder)


@lru_cache(maxsize=8)
def _opened(folder: Path, changed: int) -> Tokenizer:
    return open_tokenizer(folder)


def _word(word: Word, first: int) -> WordAnswer:
    return WordAnswer(
        text=word.text, parts=word.parts, tokens=word.tokens, first=first, unknown=word.unknown,
        joins=[JoinAnswer(place=one.place, rank=one.rank, made=one.made) for one in word.joins],
        candidates=[
            CandidateAnswer(start=one.start, end=one.end, token=one.token, score=one.score)
            for one in word.candidates
        ],
        ways=[
            WayAnswer(tokens=one.tokens, score=one.score, share=share)
            for one, share in zip(word.ways, shares(word.ways), strict=True)
        ],
    )  # fmt: skip


def _known(value: float) -> float | None:
    return None if value != value else value
