"""Byte-level BPE, encoded with `tiktoken`, which gives the same ids as `tokenizers` several times faster."""

import re
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Self, TypeVar

import numpy as np
import tiktoken
import tokenizers

from headstart.errors import gives_up_in_words
from headstart.folder import JSONObject
from headstart.tokenizer.base import Tokenizer, encodable
from headstart.tokenizer.engine import text_engine
from headstart.tokenizer.pieces import is_byte_level
from headstart.tokenizer.special import SpecialIds
from headstart.tokenizer.template import Template
from headstart.workers import available_cores

# GPT-2's splitting rule (Radford et al. 2019): contractions, words, numbers, signs, each with the
# space before it, so that a merge never crosses a word's border.
GPT2_RULE = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""

# GPT-2's rule as OpenAI wrote it, which `tokenizers` has built in.
_GPT2_ORIGINAL = r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""

# Llama 3's (from tiktoken's cl100k_base): contractions in any case, numbers in groups of three digits, line
# ends stay with the signs before them.
LLAMA3_RULE = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

# Qwen 2's: as Llama 3's, but every digit alone.
QWEN_RULE = LLAMA3_RULE.replace(r"\p{N}{1,3}", r"\p{N}")

# SmolLM2's: every digit alone, then GPT-2's rule on what lies between the digits. `tokenizers` knows digits
# from a newer Unicode than the regular expressions do: the two ranges are the difference.
_DIGIT = r"\p{N}\x{11de0}-\x{11de9}\x{16ff4}-\x{16ff6}"
DIGITS_THEN_GPT2_RULE = (
    rf"""'(?:[sdmt]|ll|ve|re)| ?\p{{L}}+|[{_DIGIT}]| ?[^\s\p{{L}}{_DIGIT}]+|\s+(?=[{_DIGIT}])|\s+(?!\S)|\s+"""
)

# A rule's `\s+(?!\S)` keeps one state for every blank of a run, and tiktoken's matcher dies at a million:
# a text with a run this long goes to the other engine.
LONG = 100_000
_AT_A_TIME = 16

Encoded = TypeVar("Encoded")
_BLANK = r"[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]"
_LONG_RUN = re.compile(rf"(?<!{_BLANK}){_BLANK}{{{LONG}}}")


@dataclass(frozen=True)
class Merges:
    """Byte-level BPE as tiktoken takes it."""

    pattern: str
    ranks: dict[bytes, int]
    """Pieces in the order of their merges; the rank is the id where that order is the ids'."""
    ids: list[int] | None
    """The id of each rank, or None where they are equal."""

    @classmethod
    def read(cls, definition: JSONObject, pieces: list[bytes], special: SpecialIds) -> Self | None:
        """The merges of a `tokenizer.json` if tiktoken gives the same ids for every text, else None.

        tiktoken takes a whole word that is in the vocabulary as it is, and else joins any two neighbours
        whose bytes together are in the vocabulary, smallest rank first; `tokenizers` joins the listed pairs
        in their order. Both do the same when the order of the list is the order of the ranks and every
        token, joined up from its own bytes, comes out of a listed pair: what happens inside a token never
        depends on its neighbours as long as no merge crosses its borders.
        """
        model, pattern = definition["model"], splitting_rule(definition)
        plain = not any(
            model.get(key)
            for key in ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback")
        )
        added = {token["content"]: token["special"] for token in definition.get("added_tokens") or []}
        if pattern is None or model["type"] != "BPE" or not plain or not all(added.values()):
            return None
        ids = {token: index for token, index in model["vocab"].items() if index not in special.all}
        pairs = [
            tuple(merge.split(" ")) if isinstance(merge, str) else tuple(merge) for merge in model["merges"]
        ]
        ordered = [token for token in ids if len(pieces[ids[token]]) == 1]
        ordered.sort(key=ids.__getitem__)
        ordered += dict.fromkeys(left + right for left, right in pairs)
        if len(ordered) != len(ids) or set(ordered) != set(ids) or not _has_all_bytes(ids, pieces):
            return None
        rank_to_id = [ids[token] for token in ordered]
        same_order = rank_to_id == sorted(rank_to_id)
        ranks = {pieces[index]: index if same_order else rank for rank, index in enumerate(rank_to_id)}
        listed = [ranks[pieces[ids[left + right]]] for left, right in pairs]
        if listed != sorted(listed):
            return None
        known = {(pieces[ids[left]], pieces[ids[right]]) for left, right in pairs}
        whole = bool(model.get("ignore_merges"))
        if whole and any(token in model["vocab"] for token in added):
            return None
        for piece, rank in ranks.items():
            if len(piece) > 1:
                parts = _join(piece, ranks, rank)
                if (len(parts) == 2 and tuple(parts) not in known) or (len(parts) > 2 and not whole):
                    return None
        return cls(pattern, ranks, None if same_order else rank_to_id)


def _has_all_bytes(ids: dict[str, int], pieces: list[bytes]) -> bool:
    return len({pieces[index] for index in ids.values() if len(pieces[index]) == 1}) == 256


def _join(piece: bytes, ranks: dict[bytes, int], below: int) -> list[bytes]:
    """A piece's bytes joined by all merges with a rank smaller than `below`."""
    parts = [piece[index : index + 1] for index in range(len(piece))]
    while len(parts) > 1:
        best, place = below, -1
        for index in range(len(parts) - 1):
            rank = ranks.get(parts[index] + parts[index + 1], below)
            if rank < best:
                best, place = rank, index
        if place < 0:
            break
        parts[place : place + 2] = [parts[place] + parts[place + 1]]
    return parts


def splitting_rule(definition: JSONObject) -> str | None:
    """The rule by which a `tokenizer.json` splits text, if it is one that tiktoken matches equally."""
    first = definition.get("pre_tokenizer") or {"type": None}
    if definition.get("normalizer") or not is_byte_level(definition.get("decoder")):
        return None
    *before, last = first.get("pretokenizers") or [first]
    if last["type"] != "ByteLevel" or last["add_prefix_space"] or len(before) > 1:
        return None
    if last["use_regex"]:
        if not before:
            return GPT2_RULE
        digits = before[0]["type"] == "Digits" and before[0]["individual_digits"]
        return DIGITS_THEN_GPT2_RULE if digits else None
    if (
        before
        and before[0]["type"] == "Split"
        and before[0]["behavior"] == "Isolated"
        and not before[0]["invert"]
    ):
        rule = before[0]["pattern"].get("Regex")
        return {GPT2_RULE: GPT2_RULE, _GPT2_ORIGINAL: GPT2_RULE, LLAMA3_RULE: LLAMA3_RULE}.get(rule)
    return None


class ByteLevelTokenizer(Tokenizer):
    """Byte-level BPE: any text comes back as it was."""

    def __init__(
        self,
        path: Path,
        read: Callable[[], JSONObject],
        merges: Merges,
        config: JSONObject,
        special: SpecialIds,
        template: Template,
        tokens: list[str],
        pieces: list[bytes],
    ) -> None:
        self.path, self.read, self.config = path, read, config
        self.special, self.template = special, template
        self.tokens, self.pieces, self._ids = tokens, pieces, merges.ids
        self._encoding = tiktoken.Encoding(
            name=str(path), pat_str=merges.pattern, mergeable_ranks=merges.ranks, special_tokens={}
        )
        # tiktoken hands out buffers, which saves a fifth of the time, only by a way that looks for special
        # tokens; with none at all it would stop at every character. This one is looked for and never taken.
        self._buffered = tiktoken.Encoding(
            name=f"{path}, buffered",
            pat_str=merges.pattern,
            mergeable_ranks=merges.ranks,
            special_tokens={"<|none|>": max(merges.ranks.values()) + 1},
        )

    @cached_property
    def _engine(self) -> tokenizers.Tokenizer:
        return text_engine(self.definition, self.special)

    @gives_up_in_words
    def encode(self, text: str) -> list[int]:
        if not text.isascii():
            text = encodable(text)
        if len(text) >= LONG and _LONG_RUN.search(text):
            return self._engine.encode(text, add_special_tokens=False).ids
        ranks = self._encoding.encode_ordinary(text)
        return ranks if self._ids is None else [self._ids[rank] for rank in ranks]

    def encode_batch(self, texts: list[str]) -> list[list[int]]:
        return _on_all_cores(self.encode, texts)

    def encode_arrays(self, texts: list[str]) -> list[np.ndarray]:
        return _on_all_cores(self._encode_array, texts)

    @gives_up_in_words
    def _encode_array(self, text: str) -> np.ndarray:
        if len(text) >= LONG and _LONG_RUN.search(text):
            return np.array(self.encode(text), np.uint32)
        try:
            ranks = self._buffered.encode_to_numpy(text, disallowed_special=())
        except UnicodeEncodeError:  # lone surrogates
            ranks = self._buffered.encode_to_numpy(encodable(text), disallowed_special=())
        return ranks if self._rank_to_id is None else self._rank_to_id[ranks]

    @cached_property
    def _rank_to_id(self) -> np.ndarray | None:
        return None if self._ids is None else np.array(self._ids, np.uint32)

    def encode_spans(self, text: str, behind: bool = False) -> tuple[list[int], np.ndarray]:
        ids = self.encode(text)
        ends = np.cumsum(self.piece_bytes[ids])  # in bytes
        spans = np.stack([ends - self.piece_bytes[ids], ends], axis=1)
        if not text.isascii():
            content = np.frombuffer(encodable(text).encode("utf-8"), dtype=np.uint8)
            character = (
                np.cumsum((content & 0xC0) != 0x80) - 1
            )  # of each byte; only first bytes are not 10xxxxxx
            spans = np.stack([character[spans[:, 0]], character[spans[:, 1] - 1] + 1], axis=1)
        return ids, spans

    def decode(self, ids: Iterable[int]) -> str:
        return b"".join(self.pieces[index] for index in ids).decode("utf-8", errors="replace")


def _on_all_cores(encode: Callable[[str], Encoded], texts: list[str]) -> list[Encoded]:
    """tiktoken lets go of Python's lock; several texts at a time, for a thread's call is not free."""
    if (cores := available_cores()) == 1:
        return [encode(text) for text in texts]
    chunks = [texts[start : start + _AT_A_TIME] for start in range(0, len(texts), _AT_A_TIME)]
    with ThreadPoolExecutor(cores) as threads:
        return list(chain.from_iterable(threads.map(lambda chunk: [encode(text) for text in chunk], chunks)))
