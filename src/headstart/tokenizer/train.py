"""Training a tokenizer: the pieces are learned by `tokenizers`, their order is the family's."""

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import orjson
import tokenizers
from pydantic import model_validator
from tokenizers import models, pre_tokenizers, trainers

from headstart.errors import HeadstartError
from headstart.folder import JSONObject, atomic, write_json, write_manifest
from headstart.recipe import Recipe
from headstart.tokenizer.base import Tokenizer, encodable
from headstart.tokenizer.folder import CONFIG, DEFINITION, make_config, open_tokenizer
from headstart.tokenizer.kinds import BYTES, KINDS, TokenizerKind, wordpiece
from headstart.tokenizer.marked_words import learn_word_ends, learn_wordpieces
from headstart.tokenizer.template import parse_template

MANIFEST_KIND, VERSION = "tokenizer", 1

# Where pieces are made of characters, those beyond this share of the text are left to the unknown token
# or to bytes: SentencePiece's character_coverage.
COVERAGE = 0.9995


class TokenizerRecipe(Recipe):
    """Settings of `headstart tokenizer train`."""

    kind: Literal[
        "headstart",
        "transformer",
        "gpt1",
        "gpt2",
        "bert",
        "roberta",
        "bart",
        "t5",
        "deberta",
        "llama2",
        "llama3",
    ] = "headstart"
    """The family whose pre-tokenization, special tokens and templates are used."""
    vocab_size: int = 8192
    """Number of entries, including special tokens and, if the kind has them, the 256 bytes."""
    cased: bool = False
    """Kind bert: keep capital letters and accents."""
    sample_bytes: int = 20_000_000
    """How much text is read for training; more changes few merges and costs time."""

    USUAL_NAMES: ClassVar[dict[str, str]] = {
        "kind": "model_type tokenizer_type",
        "vocab_size": "vocabulary_size num_tokens",
    }
    ANSWERS: ClassVar[dict[str, str]] = {
        "do_lower_case lowercase": "give {}cased, the opposite",
        "max_chars input_sentence_size": "give {}sample_bytes, in bytes",
    }

    @model_validator(mode="after")
    def _only_bert_has_two_cases(self) -> Self:
        if self.cased and self.kind != "bert":
            raise ValueError("cased is for kind=bert; leave it out")
        return self


def train(texts: Iterable[str], recipe: TokenizerRecipe, out: Path) -> Tokenizer:
    """Learn a vocabulary of exactly `recipe.vocab_size` entries and write a tokenizer folder.

    Byte-level BPE and SentencePiece's BPE (Sennrich et al. 2016), Unigram (Kudo 2018), or WordPiece, which is
    learned as BPE and applied longest piece first.

    Raises:
        HeadstartError: too little text for the vocabulary asked for, or too small a vocabulary.
    """
    kind = KINDS[recipe.kind]
    engine = wordpiece(cased=True) if recipe.cased else kind.engine()
    model = engine.model
    byte_level = isinstance(model, models.BPE) and not model.unk_token
    first = (*kind.first, *BYTES) if recipe.kind == "llama2" else kind.first
    room = recipe.vocab_size - len(first) - len(kind.last)
    if room <= (256 if byte_level else 0):
        smallest = len(first) + len(kind.last) + (256 if byte_level else 0)
        raise HeadstartError(
            f"vocab_size={recipe.vocab_size} leaves no room beyond the {smallest} bytes and specials"
        )
    sample = _read(texts, recipe.sample_bytes)
    read = sum(len(text.encode()) for text in sample)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    if not byte_level:
        sample, alphabet = _common_characters(sample, (*kind.first, *kind.last))
    definition = _learn(engine, kind, sample, room, alphabet if byte_level else [])
    learned = _vocabulary(definition)
    if len(learned) < room:
        raise HeadstartError(
            f"{read:,} bytes of text give only {recipe.vocab_size - room + len(learned):,} tokens, not "
            f"{recipe.vocab_size:,}; add text or lower vocab_size"
        )
    if len(learned) > room:
        raise HeadstartError(
            f"vocab_size={recipe.vocab_size} leaves no room for the {len(alphabet):,} characters "
            "of the text; raise it"
        )
    _arrange(definition, kind, first, learned)
    with atomic(out) as folder:
        folder.mkdir()
        tokenizers.Tokenizer.from_str(orjson.dumps(definition).decode()).save(str(folder / DEFINITION))
        further = [token for token in (*kind.first, *kind.last) if token not in kind.roles.values()]
        write_json(folder / CONFIG, make_config(kind.roles, kind.inputs, sorted(further)))
        tokenizer = open_tokenizer(folder)
        recipe.save(folder / "recipe.yaml")
        facts = {
            "kind": recipe.kind,
            "vocab_size": tokenizer.vocab_size,
            "sha256": tokenizer.sha256,
            "trained_on_bytes": read,
        }
        write_manifest(folder, MANIFEST_KIND, VERSION, facts)
    return open_tokenizer(out)


def _read(texts: Iterable[str], limit: int) -> list[str]:
    """Texts until `limit` bytes are reached."""
    sample, size = [], 0
    for text in texts:
        if size >= limit:
            break
        sample.append(encodable(text))
        size += len(sample[-1].encode())
    return sample


def _common_characters(sample: list[str], special: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """The sample's lines without rare characters and special tokens; and the characters that stay."""
    counts: Counter[str] = Counter()
    for text in sample:
        counts.update(text)
    total, seen, common = sum(counts.values()), 0, []
    for character, count in counts.most_common():
        if seen >= COVERAGE * total:
            break
        common.append(character)
        seen += count
    rare = str.maketrans(dict.fromkeys(counts.keys() - set(common), " "))
    names = re.compile("|".join(map(re.escape, special)))
    lines = [names.sub(" ", line).translate(rare) for text in sample for line in text.splitlines()]
    return lines, common


def _learn(
    engine: tokenizers.Tokenizer, kind: TokenizerKind, sample: list[str], room: int, alphabet: list[str]
) -> JSONObject:
    """Train the engine to `room` pieces; returns it as `tokenizer.json` has it, without special tokens."""
    definition = orjson.loads(engine.to_str())
    model = engine.model
    if isinstance(model, models.WordPiece):
        learned = learn_wordpieces(engine, sample, room)
    elif isinstance(model, models.BPE) and model.end_of_word_suffix:
        learned = learn_word_ends(engine, sample, room)
    elif isinstance(model, models.Unigram):
        learned = _learn_unigram(engine, sample, room)
    else:
        engine.pre_tokenizer = kind.words or engine.pre_tokenizer
        trainer = trainers.BpeTrainer(vocab_size=room, initial_alphabet=alphabet, show_progress=False)
        engine.train_from_iterator(sample, trainer)
        trained = orjson.loads(engine.to_str())["model"]
        learned = {key: trained[key] for key in ("vocab", "merges")}
    return definition | {"model": definition["model"] | learned}


def _learn_unigram(engine: tokenizers.Tokenizer, sample: list[str], room: int) -> JSONObject:
    # the unknown piece is one of those that are counted, and is taken out again
    trainer = trainers.UnigramTrainer(
        vocab_size=room + 1, special_tokens=["<unk>"], unk_token="<unk>", show_progress=False
    )
    characters = set().union(*map(engine.normalizer.normalize_str, sample))
    if len(characters) > room:
        return {"vocab": [(character, 0.0) for character in characters]}
    engine.train_from_iterator(sample, trainer)
    vocabulary = orjson.loads(engine.to_str())["model"]["vocab"]
    # Sums of many threads differ in their last digits, and must not decide about the order.
    pieces = [(piece, round(score, 6)) for piece, score in vocabulary if piece != "<unk>"]
    pieces.sort(key=lambda one: (-one[1], one[0]))
    # Characters that are worth no piece of their own come last, a ten-thousandth apart in random order.
    last = len(pieces) - 1
    while last and len(pieces[last][0]) == 1 and abs(pieces[last - 1][1] - pieces[last][1] - 1e-4) < 1e-5:
        last -= 1
    characters_alone = sorted(piece for piece, _ in pieces[last:])
    return {"vocab": [*pieces[:last], *((piece, pieces[last][1]) for piece in characters_alone)]}


def _vocabulary(definition: JSONObject) -> list[Any]:
    """The learned pieces in their order; of Unigram, with their scores."""
    vocabulary = definition["model"]["vocab"]
    if isinstance(vocabulary, dict):
        return sorted(vocabulary, key=vocabulary.__getitem__)
    return vocabulary


def _arrange(definition: JSONObject, kind: TokenizerKind, first: tuple[str, ...], learned: list[Any]) -> None:
    """Put special tokens around the learned pieces, give all their ids, and add the template."""
    model = definition["model"]
    if model["type"] == "Unigram":
        model["vocab"] = [*([token, 0.0] for token in first), *learned]
        model["unk_id"] = first.index(kind.roles["unk_token"])
        tokens = [*first, *(piece for piece, _ in learned), *kind.last]
    else:
        tokens = [*first, *learned, *kind.last]
        # What `ignore_merges` looks up whole, it would find in a text: Llama 3 keeps special tokens apart.
        inside = tokens[: len(tokens) - len(kind.last)] if model.get("ignore_merges") else tokens
        model["vocab"] = {token: index for index, token in enumerate(inside)}
    ids = {token: index for index, token in enumerate(tokens)}
    definition["added_tokens"] = [
        {
            "id": ids[token],
            "content": token,
            "single_word": False,
            "lstrip": token == "<mask>" and token in kind.last,  # RoBERTa: the blank before it belongs to it
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for token in (*kind.first, *kind.last)
    ]
    template = parse_template(kind.single, kind.pair, ids)
    definition["post_processor"] = template.processor(tokens)
