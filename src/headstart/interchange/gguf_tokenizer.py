"""The tokenizer in a GGUF file, as a `tokenizer.json` describes it.

llama.cpp names how text is split before merging ("pre"); the rules are those of its `llama-vocab.cpp`.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from headstart.errors import HeadstartError
from headstart.folder import JSONObject
from headstart.tokenizer.base import Tokenizer
from headstart.tokenizer.byte_level import LLAMA3_RULE, QWEN_RULE
from headstart.tokenizer.folder import tokenizer_of
from headstart.tokenizer.sentencepiece_file import (
    BPE,
    BYTE,
    CONTROL,
    UNIGRAM,
    UNKNOWN,
    UNUSED,
    USER_DEFINED,
    SentencePieces,
    added_token,
)
from headstart.tokenizer.template import parse_template

KINDS = {"gpt2": "byte-level BPE", "llama": "SentencePiece BPE", "t5": "SentencePiece Unigram"}
ENDS_OF_TURNS = (
    *("<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|eom_id|>"),
    *("<|endoftext|>", "<|end_of_text|>", "<EOT>"),
)
"""Control tokens that end a turn or a text; files often do not say it, and llama.cpp goes by their texts."""

BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
GPT2 = BYTES | {"use_regex": True}
DIGITS = {"type": "Digits", "individual_digits": True}
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_BEFORE, _REST = r"[^\r\n\p{L}\p{N}]?", r" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_ENDING = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
_SMALL, _LARGE = f"{_BEFORE}{_UPPER}*{_LOWER}+", f"{_BEFORE}{_UPPER}+{_LOWER}*"  # words by their case
_TEKKEN = "|".join([_SMALL, _LARGE, r"\p{N}", _REST])
_GPT4O = "|".join([_SMALL + _ENDING, _LARGE + _ENDING, r"\p{N}{1,3}", _REST])
_DEEPSEEK3 = "|".join(
    [
        r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+",
        r"[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+",
        r" ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    ]
)


def _split(*rules: str) -> JSONObject:
    cuts: list[JSONObject] = [
        {"type": "Split", "pattern": {"Regex": rule}, "behavior": "Isolated", "invert": False}
        for rule in rules
    ]
    return {"type": "Sequence", "pretokenizers": [*cuts, BYTES | {"use_regex": False}]}


_FALCON = {
    "type": "Sequence",
    "pretokenizers": [
        {"type": "Punctuation", "behavior": "Contiguous"},
        GPT2,
        DIGITS | {"individual_digits": False},
        *_split(r"[0-9][0-9][0-9]")["pretokenizers"][:1],
    ],
}
_LLAMA3 = ("llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2")
_DIGITS_GPT2 = {"type": "Sequence", "pretokenizers": [DIGITS, GPT2]}
SPLITS: dict[str, JSONObject] = {
    **dict.fromkeys(("gpt-2", "phi-2", "olmo", "mpt", "jina-v2-code", "roberta-bpe", "gigachat"), GPT2),
    **dict.fromkeys(("jina-es", "jina-de", "jina-v2-es", "jina-v2-de", "a.x-4.0", "mellum", "exaone4"), GPT2),
    **dict.fromkeys(("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone"), _DIGITS_GPT2),
    **dict.fromkeys((*_LLAMA3, "dbrx", "smaug-bpe", "chatglm-bpe", "glm4"), _split(LLAMA3_RULE)),
    **dict.fromkeys(("qwen2", "stablelm2", "deepseek-r1-qwen", "megrez", "kormo"), _split(QWEN_RULE)),
    "tekken": _split(_TEKKEN),
    **dict.fromkeys(("gpt-4o", "llama4"), _split(_GPT4O)),
    "deepseek-v3": _split(r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+", _DEEPSEEK3),
    "falcon": _FALCON,
}
"""How text is split before merging: llama.cpp's name for the rule, and what `tokenizers` calls it."""
WHOLE_WORDS = (*_LLAMA3, "tekken")
"""Rules whose tokenizers take a word that is a token as it is, without merging it. Where a file does not say
whether a text begins with the start token, it does in these, in llama.cpp as in the models themselves."""


def read_tokenizer(path: Path, fields: Mapping[str, Any]) -> Tokenizer:
    """The tokenizer in a file's fields.

    Raises:
        HeadstartError: there is none, or a kind or a splitting rule that is not known here.
    """
    kind = fields.get("tokenizer.ggml.model")
    if kind not in KINDS:
        known = ", ".join(f"{name} ({what})" for name, what in KINDS.items())
        raise HeadstartError(f"{path} has a tokenizer of the kind {kind!r}; of GGUF files, {known} are read")
    needed = ["tokens", "token_type", "merges" if kind == "gpt2" else "scores"]
    lacking = [name for name in needed if not isinstance(fields.get(f"tokenizer.ggml.{name}"), list)]
    if lacking:
        raise HeadstartError(
            f"{path} has no tokenizer.ggml.{lacking[0]}; it is damaged, or holds no tokenizer"
        )
    split = fields.get("tokenizer.ggml.pre")
    if kind == "gpt2" and split not in SPLITS:
        raise HeadstartError(
            f"{path} splits text by the rule {split}, which is not known; known: {', '.join(SPLITS)}"
        )
    return tokenizer_of(path, partial(_definition, fields), _config(fields))


def ends(fields: Mapping[str, Any]) -> list[int]:
    """The ids that end a text or a turn."""
    said = [fields.get(f"tokenizer.ggml.{name}_token_id") for name in ("eos", "eot", "eom")]
    tokens, kinds = fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.token_type"]
    known = [
        index
        for index, (token, kind) in enumerate(zip(tokens, kinds, strict=True))
        if kind == CONTROL and token in ENDS_OF_TURNS
    ]
    return list(dict.fromkeys(index for index in [*said, *known] if index is not None))


def _config(fields: Mapping[str, Any]) -> JSONObject:
    """What a `tokenizer_config.json` says of it."""
    tokens: list[str] = fields["tokenizer.ggml.tokens"]
    names = {
        "bos": "bos",
        "eos": "eos",
        "unk": "unknown",
        "pad": "padding",
        "sep": "seperator",
        "cls": "cls",
        "mask": "mask",
    }
    config: JSONObject = {"tokenizer_class": "PreTrainedTokenizerFast"}
    for role, theirs in names.items():
        index = fields.get(f"tokenizer.ggml.{theirs}_token_id")
        if isinstance(index, int) and 0 <= index < len(tokens):
            config[f"{role}_token"] = tokens[index]
    named = {
        key.removeprefix("tokenizer.chat_template."): text
        for key, text in fields.items()
        if key.startswith("tokenizer.chat_template.")
    }
    if "tokenizer.chat_template" in fields:
        template = fields["tokenizer.chat_template"]
        config["chat_template"] = {"default": template} | named if named else template
    return config


def _definition(fields: Mapping[str, Any]) -> JSONObject:
    """What a `tokenizer.json` says of it."""
    tokens: list[str] = fields["tokenizer.ggml.tokens"]
    kinds: list[int] = fields["tokenizer.ggml.token_type"]
    kind = fields["tokenizer.ggml.model"]
    if kind == "gpt2":
        definition = _byte_pairs(fields, tokens, kinds)
    else:
        definition = SentencePieces(
            tokens,
            fields["tokenizer.ggml.scores"],
            kinds,
            model=BPE if kind == "llama" else UNIGRAM,
            byte_fallback=BYTE in kinds,
            unknown=fields.get(
                "tokenizer.ggml.unknown_token_id", kinds.index(UNKNOWN) if UNKNOWN in kinds else 0
            ),
            characters=bytes(fields.get("tokenizer.ggml.precompiled_charsmap") or b""),
            dummy_prefix=fields.get("tokenizer.ggml.add_space_prefix", True),
            one_blank=fields.get("tokenizer.ggml.remove_extra_whitespaces", kind == "t5"),
        ).definition()
    start, end = (fields.get(f"tokenizer.ggml.{name}_token_id") for name in ("bos", "eos"))
    begins = kind == "llama" or fields.get("tokenizer.ggml.pre") in WHOLE_WORDS
    opens = fields.get("tokenizer.ggml.add_bos_token", begins) and start is not None
    closes = fields.get("tokenizer.ggml.add_eos_token", kind == "t5") and end is not None
    if opens or closes:
        ids = {"first": int(start or 0), "last": int(end or 0)}
        first, last = ("first " if opens else ""), (" last" if closes else "")
        single = f"{first}A{last}"
        definition["post_processor"] = parse_template(single, f"{single} {first}B{last}", ids).processor(
            tokens
        )
    return definition


def _byte_pairs(fields: Mapping[str, Any], tokens: list[str], kinds: list[int]) -> JSONObject:
    split = fields["tokenizer.ggml.pre"]
    padding = {f"[PAD{index}]" for index in range(len(tokens))}  # an embedding can have rows without a token
    vocabulary = {
        token: index
        for index, (token, kind) in enumerate(zip(tokens, kinds, strict=True))
        if not (kind in (USER_DEFINED, UNUSED) and token in padding)
    }
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            added_token(vocabulary[token], token, special=kind != USER_DEFINED)
            for token, kind in zip(tokens, kinds, strict=True)
            if kind in (UNKNOWN, CONTROL, USER_DEFINED) and token in vocabulary
        ],
        "normalizer": None,
        "pre_tokenizer": SPLITS[split],
        "post_processor": None,
        "decoder": BYTES | {"use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": split in WHOLE_WORDS,
            "vocab": vocabulary,
            "merges": [merge.split(" ") for merge in fields["tokenizer.ggml.merges"]],
        },
    }
