"""What every tokenizer does, whatever its family."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from headstart.folder import JSONObject
from headstart.tokenizer.special import HEADSTART_IDS, SpecialIds
from headstart.tokenizer.template import Template


class Tokenizer(ABC):
    """Text to ids and back.

    Special tokens are never read out of text: `<s>` typed in a document is so many characters. Lone
    surrogates, which broken input can hold, become `?`.
    """

    path: Path
    """The file that it was read from: `tokenizer.json`, or an older one that stands for it."""
    read: Callable[[], JSONObject]
    """Reads the definition again: it is large, and seldom asked for."""
    config: JSONObject
    """What `tokenizer_config.json` says."""
    special: SpecialIds
    template: Template
    tokens: list[str]
    """The token of each id as the vocabulary writes it; "" for an id without one."""
    pieces: list[bytes]
    """The text of each id, in bytes; special tokens have none. See `pieces.py` for what is approximate."""

    def leave_out_special(self, size: int) -> None:
        """Forget special tokens that a model with `size` rows in its embedding has no row for.

        A padding token added to a published model is the usual one: it is never read nor written.
        """
        if all(index in self.special.all for index in range(size, len(self.tokens)) if self.tokens[index]):
            self.tokens, self.pieces = self.tokens[:size], self.pieces[:size]
            self.special = self.special.below(size)

    @abstractmethod
    def encode(self, text: str) -> list[int]:
        """Ids of one text, without special tokens."""

    @abstractmethod
    def encode_batch(self, texts: list[str]) -> list[list[int]]:
        """Ids of many texts, on all cores."""

    def encode_arrays(self, texts: list[str]) -> list[np.ndarray]:
        """The same as arrays, which is faster where there are very many."""
        return [np.array(ids, np.uint32) for ids in self.encode_batch(texts)]

    @abstractmethod
    def encode_spans(self, text: str, behind: bool = False) -> tuple[list[int], np.ndarray]:
        """Ids of one text as `encode` gives them, and the characters `[t, 2]` that each stands for.

        A token with a part of a character has the whole of it; blanks may belong to the token behind them.

        Args:
            behind: the text goes on behind a special token, see `encode_behind`.
        """

    @abstractmethod
    def decode(self, ids: Iterable[int]) -> str:
        """The text of `ids`; special tokens vanish, bytes that are no UTF-8 become U+FFFD."""

    def encode_behind(self, text: str) -> list[int]:
        """Ids of a text that goes on behind a special token, as in the middle of a conversation."""
        return self.encode(text)

    @property
    def definition(self) -> JSONObject:
        """What the file says, as a `tokenizer.json` says it."""
        return self.read()

    @property
    def vocab_size(self) -> int:
        return len(self.tokens)

    @property
    def is_headstart(self) -> bool:
        """Whether these are headstart's own special tokens, and not another family's."""
        return self.special == HEADSTART_IDS

    def with_special(self, ids: list[int], pair: list[int] | None = None) -> tuple[list[int], list[int]]:
        """One text's ids, or two texts', between special tokens as the family has them; and token types.

        BERT: `[CLS] a [SEP] b [SEP]`, with type 1 for `b [SEP]`; RoBERTa and BART: `<s> a </s></s> b </s>`;
        T5: `a </s> b </s>`; Llama: `<s> a`; GPT: `a`; headstart: `<s> a </s> b </s>`.
        """
        return self.template.fill(ids, pair)

    @cached_property
    def opening(self) -> list[int]:
        """What stands before a document: the start token, unless it is the one that closes (GPT-2)."""
        start = self.special.start
        return [] if start is None or start == self.special.end else [start]

    @cached_property
    def closing(self) -> list[int]:
        """What stands behind a document."""
        return [] if self.special.end is None else [self.special.end]

    @cached_property
    def sha256(self) -> str:
        """Of all that decides about ids: equal hashes give equal ids for every text."""
        if self.is_headstart:
            payload: Any = [piece.hex() for piece in self.pieces]
        else:
            definition = self.definition
            kept = ("normalizer", "pre_tokenizer", "model", "added_tokens")
            payload = {key: definition.get(key) for key in kept}
        return hashlib.sha256(orjson.dumps(payload, option=orjson.OPT_SORT_KEYS)).hexdigest()

    @cached_property
    def piece_bytes(self) -> np.ndarray:
        """How many bytes of text each id stands for, `[V]`: what bits per byte are counted with."""
        return np.array([len(piece) for piece in self.pieces], dtype=np.int64)

    def token_text(self, index: int) -> str:
        """One token for people to read."""
        if index in self.special.all:
            return self.tokens[index]
        return self.pieces[index].decode("utf-8", errors="replace")


def encodable(text: str) -> str:
    """Lone surrogates become `?`; everything else passes unchanged."""
    return text.encode("utf-8", errors="replace").decode("utf-8")
