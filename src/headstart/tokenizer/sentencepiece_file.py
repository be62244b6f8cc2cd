"""SentencePiece's model files (`spiece.model`, `tokenizer.model`), read without the library.

The file is a protocol buffer; its fields are those of SentencePiece's `sentencepiece_model.proto`:
`ModelProto` 1 = pieces (1 text, 2 score, 3 type), 2 = trainer (3 kind of model, 24 blanks belong to the word
before them, 35 bytes for what is unknown, 40 the unknown token), 3 = normalizer (2 table of characters, 3 a
blank before the text, 4 runs of blanks become one, 5 blanks are written as `▁`).
"""

import base64
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from headstart.errors import HeadstartError
from headstart.folder import JSONObject
from headstart.tokenizer.pieces import BLANK

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
UNIGRAM, BPE = 1, 2
_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5


@dataclass
class SentencePieces:
    """A SentencePiece model, as its file or a GGUF file describes it."""

    tokens: list[str] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    kinds: list[int] = field(default_factory=list)
    """Of each token: `NORMAL`, `UNKNOWN`, `CONTROL`, `USER_DEFINED`, `UNUSED` or `BYTE`."""
    model: int = UNIGRAM
    byte_fallback: bool = False
    """Characters that no piece has become bytes."""
    unknown: int = 0
    characters: bytes = b""
    """The compiled table by which characters are normalised; empty: none."""
    dummy_prefix: bool = True
    """A text begins with a blank."""
    one_blank: bool = True
    """Blanks at the ends go, and runs of blanks become one."""
    usual_blanks: bool = True
    """Blanks are written as `▁`, and belong to the word behind them."""
    takes_before: set[str] = field(default_factory=set)
    """Special tokens that swallow the blanks before them."""

    def add(self, token: str, kind: int, score: float = 0.0) -> None:
        """A token with the next id."""
        self.tokens.append(token)
        self.scores.append(score)
        self.kinds.append(kind)

    def definition(self) -> JSONObject:
        """The same as a `tokenizer.json`, without a template."""
        unigram = self.model == UNIGRAM
        # Pieces that a user defined may hold blanks: they are looked for where blanks are `▁` already. Behind
        # a dummy prefix the text would change at each of them.
        written = not unigram and not self.dummy_prefix
        return {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [
                added_token(
                    index,
                    token,
                    special=kind != USER_DEFINED,
                    lstrip=token in self.takes_before,
                    normalized=written and kind == USER_DEFINED,
                )
                for index, (token, kind) in enumerate(zip(self.tokens, self.kinds, strict=True))
                if kind in (UNKNOWN, CONTROL, USER_DEFINED)
            ],
            "normalizer": self._normalizer(unigram),
            "pre_tokenizer": self._metaspace() if unigram else None,
            "post_processor": None,
            "decoder": self._metaspace() if unigram and not self.byte_fallback else self._decoder(),
            "model": self._unigram() if unigram else self._bpe(),
        }

    def _normalizer(self, unigram: bool) -> JSONObject:
        parts: list[JSONObject] = []
        if self.characters:
            table = base64.b64encode(self.characters).decode()
            parts.append({"type": "Precompiled", "precompiled_charsmap": table})
        if self.one_blank:
            parts += [_replace("^ +| +$", ""), _replace(" {2,}", " ")]
        if not unigram:
            parts += [{"type": "Prepend", "prepend": BLANK}] if self.dummy_prefix else []
            parts.append({"type": "Replace", "pattern": {"String": " "}, "content": BLANK})
        return {"type": "Sequence", "normalizers": parts}

    def _metaspace(self) -> JSONObject:
        scheme = "always" if self.dummy_prefix else "never"
        return {"type": "Metaspace", "replacement": BLANK, "prepend_scheme": scheme, "split": True}

    def _decoder(self) -> JSONObject:
        decoders: list[JSONObject] = [
            {"type": "Replace", "pattern": {"String": BLANK}, "content": " "},
            {"type": "ByteFallback"},
            {"type": "Fuse"},
        ]
        if self.dummy_prefix:
            decoders.append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
        return {"type": "Sequence", "decoders": decoders}

    def _unigram(self) -> JSONObject:
        return {
            "type": "Unigram",
            "unk_id": self.unknown,
            "vocab": [[token, score] for token, score in zip(self.tokens, self.scores, strict=True)],
            "byte_fallback": self.byte_fallback,
        }

    def _bpe(self) -> JSONObject:
        return {
            "type": "BPE",
            "dropout": None,
            "unk_token": self.tokens[self.unknown],
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": True,
            "byte_fallback": self.byte_fallback,
            "ignore_merges": False,
            "vocab": {token: index for index, token in enumerate(self.tokens)},
            "merges": self._merges(),
        }

    def _merges(self) -> list[list[str]]:
        """Every two pieces that make a third, the third's score deciding the order.

        SentencePiece joins the neighbours whose piece scores best (Sennrich et al. 2016, by scores instead
        of a list), `tokenizers` those that come first in a list.
        """
        known = {
            token: index
            for index, (token, kind) in enumerate(zip(self.tokens, self.kinds, strict=True))
            if kind in (NORMAL, UNUSED)
        }
        found = []
        for token, index in known.items():
            for cut in range(1, len(token)):
                left, right = token[:cut], token[cut:]
                if left in known and right in known:
                    found.append((-self.scores[index], index, known[left], known[right]))
        return [[self.tokens[left], self.tokens[right]] for _, _, left, right in sorted(found)]


def added_token(index: int, content: str, special: bool, **flags: bool) -> JSONObject:
    """An entry of `added_tokens` in a `tokenizer.json`."""
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {"id": index, "content": content, **plain, **flags, "special": special}


def _replace(rule: str, content: str) -> JSONObject:
    return {"type": "Replace", "pattern": {"Regex": rule}, "content": content}


def read_sentencepiece(path: Path) -> SentencePieces:
    """Read a model file.

    Raises:
        HeadstartError: it is none, damaged, or of a kind that is not read.
    """
    try:
        model = _parse(path.read_bytes())
    except (ValueError, IndexError, struct.error, UnicodeDecodeError) as error:
        raise HeadstartError(
            f"{path} is no SentencePiece model, or damaged ({error}); get it again"
        ) from None
    if not model.tokens:
        raise HeadstartError(f"{path} is no SentencePiece model: it holds no pieces; get it again")
    if model.model not in (UNIGRAM, BPE):
        raise HeadstartError(
            f"{path} cuts text into words or characters; of SentencePiece models, Unigram and BPE are read"
        )
    if not model.usual_blanks:
        raise HeadstartError(
            f"{path} leaves blanks as they are, or counts them to the word before; SentencePiece models that "
            "write a blank as the first sign of a word are read"
        )
    if not 0 <= model.unknown < len(model.tokens):
        raise HeadstartError(f"{path} has no token for what is unknown; it is damaged: get it again")
    return model


def _parse(data: bytes) -> SentencePieces:
    model = SentencePieces()
    for number, value in _fields(data):
        if number == 1:
            piece = dict(_fields(_part(value)))
            model.tokens.append(_part(piece.get(1, b"")).decode("utf-8"))
            model.scores.append(_real(piece.get(2)))
            model.kinds.append(_whole(piece.get(3), NORMAL))
        elif number == 2:
            said = dict(_fields(_part(value)))
            model.model = _whole(said.get(3), UNIGRAM)
            model.usual_blanks &= not _whole(said.get(24), 0)
            model.byte_fallback = bool(_whole(said.get(35), 0))
            model.unknown = _whole(said.get(40), 0)
        elif number == 3:
            said = dict(_fields(_part(value)))
            model.characters = _part(said.get(2, b""))
            model.dummy_prefix = bool(_whole(said.get(3), 1))
            model.one_blank = bool(_whole(said.get(4), 1))
            model.usual_blanks &= bool(_whole(said.get(5), 1))
    return model


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The number of every field of a message, and its value: a whole number, or bytes."""
    place = 0
    while place < len(data):
        key, place = _varint(data, place)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, place = _varint(data, place)
            yield number, value
            continue
        if kind == _BYTES:
            length, place = _varint(data, place)
        elif kind in (_EIGHT_BYTES, _FOUR_BYTES):
            length = 8 if kind == _EIGHT_BYTES else 4
        else:
            raise ValueError(f"field {number} has the wire type {kind}")
        if place + length > len(data):
            raise ValueError("it ends in the middle")
        yield number, data[place : place + length]
        place += length


def _varint(data: bytes, place: int) -> tuple[int, int]:
    """A number of seven bits a byte, and where the next one begins."""
    value = 0
    for shift in range(0, 70, 7):
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
    raise ValueError("a number has more than ten bytes")


def _part(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ValueError("a number stands where a text should")
    return value


def _whole(value: int | bytes | None, default: int) -> int:
    if value is None:
        return default
    if isinstance(value, bytes):
        raise ValueError("a text stands where a number should")
    return value - (1 << 64) if value >> 63 else value


def _real(value: int | bytes | None) -> float:
    return 0.0 if value is None else float(struct.unpack("<f", _part(value))[0])
