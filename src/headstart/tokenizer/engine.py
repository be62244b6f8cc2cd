"""Any tokenizer that the `tokenizers` library reads, encoded by that library."""

from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path

import numpy as np
import orjson
import tokenizers

from headstart.errors import gives_up_in_words
from headstart.folder import JSONObject
from headstart.tokenizer.base import Tokenizer, encodable
from headstart.tokenizer.special import SpecialIds
from headstart.tokenizer.template import Template


class EngineTokenizer(Tokenizer):
    """WordPiece, Unigram, SentencePiece's BPE, and byte-level BPE of unusual make."""

    def __init__(
        self,
        path: Path,
        read: Callable[[], JSONObject],
        definition: JSONObject,
        config: JSONObject,
        special: SpecialIds,
        template: Template,
        tokens: list[str],
        pieces: list[bytes],
    ) -> None:
        self.path, self.read, self.config = path, read, config
        self.special, self.template = special, template
        self.tokens, self.pieces = tokens, pieces
        self._engine = text_engine(definition, special)

    @gives_up_in_words
    def encode(self, text: str) -> list[int]:
        return self._engine.encode(encodable(text), add_special_tokens=False).ids

    @gives_up_in_words
    def encode_behind(self, text: str) -> list[int]:
        return self._inside.encode(encodable(text), add_special_tokens=False).ids

    @cached_property
    def _inside(self) -> tokenizers.Tokenizer:
        """For text that is not the first: some SentencePiece vocabularies put a blank before that alone."""
        definition = self.definition
        changed = _never_first(definition.get("pre_tokenizer"))
        if changed == definition.get("pre_tokenizer"):
            return self._engine
        return text_engine(definition | {"pre_tokenizer": changed}, self.special)

    @gives_up_in_words
    def encode_batch(self, texts: list[str]) -> list[list[int]]:
        encoded = self._engine.encode_batch_fast(
            [encodable(text) for text in texts], add_special_tokens=False
        )
        return [row.ids for row in encoded]

    @gives_up_in_words
    def encode_spans(self, text: str, behind: bool = False) -> tuple[list[int], np.ndarray]:
        engine = self._inside if behind else self._engine
        found = engine.encode(encodable(text), add_special_tokens=False)
        return found.ids, np.array(found.offsets, dtype=np.int64).reshape(-1, 2)

    @gives_up_in_words
    def decode(self, ids: Iterable[int]) -> str:
        return self._engine.decode([index for index in ids if index not in self.special.all])


def _never_first(part: JSONObject | None) -> JSONObject | None:
    """A pre-tokenizer without the blank that `Metaspace` puts before the first text alone."""
    if part is None:
        return None
    if part["type"] == "Sequence":
        return part | {"pretokenizers": [_never_first(one) for one in part["pretokenizers"]]}
    first = part["type"] == "Metaspace" and part.get("prepend_scheme") == "first"
    return part | {"prepend_scheme": "never"} if first else part


def text_engine(definition: JSONObject, special: SpecialIds) -> tokenizers.Tokenizer:
    """The engine that takes a text for nothing but text.

    `tokenizers` can be told to leave special tokens in a text alone, but a Unigram vocabulary holds
    `</s>` as a piece like any other and would find it there. So special tokens get names that no text has
    once it is cut into words: with a blank in them.
    """
    model = definition["model"]
    added = [  # a single character is text, even where the file calls it special
        token
        for token in definition.get("added_tokens") or []
        if token["id"] in special.all or not token["special"]
    ]
    names = {token["content"]: f" {token['content']} " for token in added if token["id"] in special.all}
    vocabulary = model["vocab"]
    if isinstance(vocabulary, dict):
        vocabulary = {names.get(token, token): index for token, index in vocabulary.items()}
    else:
        vocabulary = [[names.get(token, token), score] for token, score in vocabulary]
    changed = {
        "added_tokens": [
            token | {"content": names.get(token["content"], token["content"])} for token in added
        ],
        "model": model | {"vocab": vocabulary},
        "post_processor": None,
        "truncation": None,
        "padding": None,
    }
    if model.get("unk_token"):
        changed["model"]["unk_token"] = names.get(model["unk_token"], model["unk_token"])
    engine = tokenizers.Tokenizer.from_str(orjson.dumps(definition | changed).decode())
    engine.encode_special_tokens = True
    return engine
