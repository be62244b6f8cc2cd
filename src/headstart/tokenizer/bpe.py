"""Byte-level BPE: trained with `tokenizers`, encoded with `tiktoken`, which gives the same ids faster."""

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path

import numpy as np
import orjson
import tiktoken
import tokenizers
from tokenizers import decoders, models, pre_tokenizers, processors, trainers

from headstart.errors import HeadstartError
from headstart.folder import atomic, read_json, read_manifest, write_json, write_manifest
from headstart.recipe import Recipe
from headstart.tokenizer.special import SpecialIds

KIND, VERSION = "tokenizer", 1
START, END, PAD, MASK = "<s>", "</s>", "<pad>", "<mask>"
SPECIAL = [START, END, PAD, MASK]
START_ID, END_ID, PAD_ID, MASK_ID = range(4)
SPECIAL_IDS = SpecialIds(
    start=START_ID,
    end=END_ID,
    pad=PAD_ID,
    mask=MASK_ID,
    unknown=None,
    separator=END_ID,
    sentinels=(),
    all=frozenset(range(len(SPECIAL))),
)

# GPT-2's splitting rule (Radford et al. 2019): contractions, words, numbers, signs, each with the
# space before it, so that a merge never crosses a word's border.
PATTERN = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""

# The rule's `\s+(?!\S)` keeps one state for every blank of a run, and tiktoken's matcher dies at a million.
# Long runs are therefore cut out of a text beforehand, as the one piece that the rule makes of them.
LONG = 100_000
_BLANK = r"[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]"
_LONG_RUN = re.compile(rf"(?<!{_BLANK}){_BLANK}{{{LONG},}}(?:(?={_BLANK})|\Z)")


class TokenizerRecipe(Recipe):
    """Settings of `headstart tokenizer train`."""

    vocab_size: int = 8192
    """Entries, special tokens and the 256 bytes included."""
    sample_bytes: int = 20_000_000
    """How much text is read for training; more changes few merges and costs time."""


def _byte_alphabet() -> dict[str, int]:
    """Byte-level BPE writes each byte as one printable character; this is the way back."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    characters = printable + [256 + index for index in range(len(others))]
    return {chr(character): byte for character, byte in zip(characters, printable + others, strict=True)}


class Tokenizer:
    """Text to ids and back.

    Special tokens are never read out of text: `<s>` typed in a document is four characters.
    """

    def __init__(self, path: Path) -> None:
        """Read a `tokenizer.json` that headstart wrote.

        Raises:
            HeadstartError: no file, not JSON, or another kind of tokenizer.
        """
        definition = read_json(path)
        try:
            vocabulary: dict[str, int] = definition["model"]["vocab"]
            byte_level = definition["model"]["type"] == "BPE" and definition["decoder"]["type"] == "ByteLevel"
            in_order = [vocabulary["".join(pair)] for pair in definition["model"]["merges"]]
            tokens = sorted(vocabulary, key=vocabulary.__getitem__)
            alphabet = _byte_alphabet()
            self.pieces = [
                b"" if t in SPECIAL else bytes(alphabet[character] for character in t) for t in tokens
            ]
        except (KeyError, TypeError):
            byte_level = False
        # Ids are the specials, the bytes, then the merges in their order, as tiktoken takes for granted.
        if (
            not byte_level
            or tokens[: len(SPECIAL)] != SPECIAL
            or in_order != list(range(len(SPECIAL) + 256, len(vocabulary)))
            or [vocabulary[token] for token in tokens] != list(range(len(vocabulary)))
        ):
            raise HeadstartError(f"{path} is not a byte-level BPE tokenizer made by headstart")
        self.path = path
        self._encoding = self._splitting_at(PATTERN)

    def _splitting_at(self, pattern: str) -> tiktoken.Encoding:
        return tiktoken.Encoding(
            name="headstart",
            pat_str=pattern,
            mergeable_ranks={piece: index for index, piece in enumerate(self.pieces) if piece},
            special_tokens={token: index for index, token in enumerate(SPECIAL)},
        )

    @cached_property
    def _runs(self) -> tiktoken.Encoding:
        return self._splitting_at(r"\s+")

    @property
    def vocab_size(self) -> int:
        return len(self.pieces)

    @property
    def special(self) -> SpecialIds:
        return SPECIAL_IDS

    @cached_property
    def sha256(self) -> str:
        """Of the merges and ids: equal hashes give equal ids for every text."""
        payload = orjson.dumps([piece.hex() for piece in self.pieces])
        return hashlib.sha256(payload).hexdigest()

    @cached_property
    def piece_bytes(self) -> np.ndarray:
        """How many bytes of text each id stands for, `[V]`; special tokens stand for none."""
        return np.array([len(piece) for piece in self.pieces], dtype=np.int64)

    def encode(self, text: str) -> list[int]:
        """Ids of one text, without special tokens."""
        text = _encodable(text)
        if len(text) < LONG:
            return self._encoding.encode_ordinary(text)
        ids, done = [], 0
        for run in _LONG_RUN.finditer(text):
            ids += self._encoding.encode_ordinary(text[done : run.start()])
            ids += self._runs.encode_ordinary(run.group())
            done = run.end()
        return ids + self._encoding.encode_ordinary(text[done:])

    def encode_batch(self, texts: list[str]) -> list[list[int]]:
        """Ids of many texts, on all cores (tiktoken lets go of Python's lock)."""
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            return list(threads.map(self.encode, texts))

    def decode(self, ids: Iterable[int]) -> str:
        """The text of `ids`; special tokens vanish, bytes that are no UTF-8 become U+FFFD."""
        return b"".join(self.pieces[index] for index in ids).decode("utf-8", errors="replace")

    def token_text(self, index: int) -> str:
        """One token for people to read."""
        return (
            SPECIAL[index] if index < len(SPECIAL) else self.pieces[index].decode("utf-8", errors="replace")
        )


def _encodable(text: str) -> str:
    """Lone surrogates, which broken input can hold, become `?`; everything else passes unchanged."""
    return text.encode("utf-8", errors="replace").decode("utf-8")


def train(texts: Iterable[str], recipe: TokenizerRecipe, out: Path) -> Tokenizer:
    """Train byte-level BPE (Sennrich et al. 2016) on `texts` and write a tokenizer folder.

    Raises:
        HeadstartError: too little text for the vocabulary asked for.
    """
    smallest = len(SPECIAL) + 256
    if recipe.vocab_size <= smallest:
        raise HeadstartError(
            f"vocab_size={recipe.vocab_size} leaves no room beyond the {smallest} bytes and specials"
        )
    engine = tokenizers.Tokenizer(models.BPE())
    engine.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(tokenizers.Regex(PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    engine.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=recipe.vocab_size,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    read = _Counted(texts, recipe.sample_bytes)
    engine.train_from_iterator(read, trainer)
    if engine.get_vocab_size() < recipe.vocab_size:
        raise HeadstartError(
            f"{read.bytes:,} bytes of text give only {engine.get_vocab_size():,} tokens, not "
            f"{recipe.vocab_size:,}; add text or lower vocab_size"
        )
    with atomic(out) as folder:
        folder.mkdir()
        engine.save(str(folder / "tokenizer.json"))
        tokenizer = Tokenizer(folder / "tokenizer.json")
        recipe.save(folder / "recipe.yaml")
        facts = {
            "vocab_size": tokenizer.vocab_size,
            "sha256": tokenizer.sha256,
            "trained_on_bytes": read.bytes,
        }
        write_manifest(folder, KIND, VERSION, facts)
    return open_tokenizer(out)


class _Counted:
    """Passes texts on until `limit` bytes are reached, and counts them."""

    def __init__(self, texts: Iterable[str], limit: int) -> None:
        self.texts, self.limit, self.bytes = texts, limit, 0

    def __iter__(self) -> Iterator[str]:
        for text in self.texts:
            if self.bytes >= self.limit:
                return
            text = _encodable(text)
            self.bytes += len(text.encode())
            yield text


def open_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of a finished tokenizer folder."""
    read_manifest(folder, KIND, VERSION)
    return Tokenizer(folder / "tokenizer.json")


def write_for_transformers(tokenizer: Tokenizer, folder: Path, closing: bool, context: int) -> None:
    """Write `tokenizer.json` and `tokenizer_config.json` as `AutoTokenizer` reads them.

    Args:
        closing: put `</s>` behind every text (encoders); decoders go on where the text ends.
        context: the longest row that the model saw, in tokens.
    """
    engine = tokenizers.Tokenizer.from_file(str(tokenizer.path))
    template = f"{START} $A {END}" if closing else f"{START} $A"
    pair = f"{START} $A {END} $B {END}" if closing else f"{START} $A $B"
    engine.post_processor = processors.TemplateProcessing(
        single=template, pair=pair, special_tokens=[(START, START_ID), (END, END_ID)]
    )
    folder.mkdir(parents=True, exist_ok=True)
    engine.save(str(folder / "tokenizer.json"))
    write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": START,
            "eos_token": END,
            "pad_token": PAD,
            "model_max_length": context,
            "clean_up_tokenization_spaces": False,
            "model_input_names": ["input_ids", "attention_mask"],
        }
        | ({"cls_token": START, "sep_token": END, "mask_token": MASK} if closing else {}),
    )
