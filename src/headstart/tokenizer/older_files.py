"""Tokenizers of before `tokenizer.json`: `vocab.txt`, `vocab.json` with `merges.txt`, SentencePiece's models.

Each is put together as the `tokenizer.json` that transformers makes of it. How text is cut, and where special
tokens stand, is fixed by the class that the folder names (`published`).
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson

from headstart.errors import HeadstartError
from headstart.folder import JSONObject, read_json
from headstart.tokenizer.byte_level import QWEN_RULE
from headstart.tokenizer.kinds import byte_level, word_end_bpe, wordpiece
from headstart.tokenizer.published import CLASSES, SENTINELS, vocabulary_of
from headstart.tokenizer.sentencepiece_file import (
    CONTROL,
    UNKNOWN,
    SentencePieces,
    added_token,
    read_sentencepiece,
)
from headstart.tokenizer.template import parse_template

SENTENCEPIECE_FILES = ("spiece.model", "sentencepiece.bpe.model", "spm.model", "tokenizer.model")
VOCABULARY, MERGES, WORDS = "vocab.json", "merges.txt", "vocab.txt"

_PAIRS = {
    "BertTokenizer": ("[CLS] A [SEP]", "[CLS] A [SEP] B:1 [SEP]:1"),
    "DebertaV2Tokenizer": ("[CLS] A [SEP]", "[CLS] A [SEP] B:1 [SEP]:1"),
    "RobertaTokenizer": ("<s> A </s>", "<s> A </s> </s> B </s>"),
    "T5Tokenizer": ("A </s>", "A </s> B </s>"),
}
_LIKE = {
    "DistilBertTokenizer": "BertTokenizer",
    "ElectraTokenizer": "BertTokenizer",
    "MobileBertTokenizer": "BertTokenizer",
    "BartTokenizer": "RobertaTokenizer",
    "LongformerTokenizer": "RobertaTokenizer",
    "MPNetTokenizer": "RobertaTokenizer",
    "XLMRobertaTokenizer": "RobertaTokenizer",
    "CamembertTokenizer": "RobertaTokenizer",
}


def older_file(folder: Path) -> Path | None:
    """The file that holds a folder's vocabulary where it has no `tokenizer.json`; None: there is none."""
    for name in (WORDS, VOCABULARY, *SENTENCEPIECE_FILES):
        if (folder / name).exists() and (name != VOCABULARY or (folder / MERGES).exists()):
            return folder / name
    return None


def read_older(path: Path, kind: str, config: Mapping[str, Any]) -> JSONObject:
    """The `tokenizer.json` that the older files stand for.

    Args:
        path: as `older_file` gives it.
        kind: the class of the tokenizer.
        config: what `tokenizer_config.json` says.

    Raises:
        HeadstartError: the files are damaged, or the class is not known for such files.
    """
    readers: dict[str, Callable[[Path, str, Mapping[str, Any]], JSONObject]] = {
        WORDS: _wordpiece,
        VOCABULARY: _byte_pairs,
    }
    definition = readers.get(path.name, _sentencepiece)(path, kind, config)
    ids = {token["content"]: token["id"] for token in definition["added_tokens"]} | vocabulary_of(definition)
    notation = _PAIRS.get(_LIKE.get(kind, kind)) or _framed(kind, config)
    if notation is not None:
        try:
            template = parse_template(*notation, ids)
        except KeyError as error:
            raise HeadstartError(f"{path} has no token {error}, which a {kind} puts around texts") from None
        names = {index: token for token, index in ids.items()}
        definition["post_processor"] = template.processor([names.get(i, "") for i in range(max(names) + 1)])
    return definition


def _framed(kind: str, config: Mapping[str, Any]) -> tuple[str, str] | None:
    """Llama's and Gemma's template: a start token, unless it is unwanted; an end token if it is wanted."""
    opens = config.get("add_bos_token", kind in ("LlamaTokenizer", "CodeLlamaTokenizer", "GemmaTokenizer"))
    defaults = CLASSES.get(kind, {})

    def token(key: str) -> str:
        said = config.get(key) or defaults.get(key) or ""
        return str(said["content"] if isinstance(said, Mapping) else said)

    first = token("bos_token") if opens else ""
    last = token("eos_token") if config.get("add_eos_token") else ""
    if not first and not last:
        return None
    single = f"{first} A {last}"
    behind = " ".join(f"{part}:1" for part in (first, "B", last) if part)
    return single, f"{single} {behind}"


def _wordpiece(path: Path, kind: str, config: Mapping[str, Any]) -> JSONObject:
    """`vocab.txt`: a token a line, its number the id."""
    lines = path.read_text(encoding="utf-8").split("\n")
    tokens = [line.rstrip("\r") for line in (lines[:-1] if lines[-1] == "" else lines)]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    definition = orjson.loads(wordpiece(cased=config.get("do_lower_case") is False).to_str())
    definition["normalizer"] |= {
        "handle_chinese_chars": config.get("tokenize_chinese_chars", True),
        "strip_accents": config.get("strip_accents"),
    }
    definition["model"] |= {"vocab": vocabulary}
    return definition | {"added_tokens": []}


def _byte_pairs(path: Path, kind: str, config: Mapping[str, Any]) -> JSONObject:
    """`vocab.json`, an id for every token, and `merges.txt`, two tokens to join a line."""
    vocabulary = read_json(path, object)
    if not isinstance(vocabulary, dict) or not all(isinstance(index, int) for index in vocabulary.values()):
        raise HeadstartError(f"{path} gives no id to every token; get it again")
    file = path.parent / MERGES
    merges = []
    for number, line in enumerate(file.read_text(encoding="utf-8").split("\n"), 1):
        pair = line.rstrip("\r").split(" ")
        if line and not line.startswith("#version"):
            if len(pair) != 2 or not all(pair):
                raise HeadstartError(f"{file} line {number} is {line[:40]!r}, not two tokens; get it again")
            merges.append(pair)
    engine = word_end_bpe() if kind == "OpenAIGPTTokenizer" else byte_level(QWEN_RULE)
    definition = orjson.loads(engine.to_str())
    if kind not in ("OpenAIGPTTokenizer", "Qwen2Tokenizer"):  # GPT-2's rule, as `tokenizers` has it built in
        plain = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
        definition["pre_tokenizer"] = plain
    definition["model"] |= {"vocab": vocabulary, "merges": merges}
    if kind in ("Qwen2Tokenizer", "GPTNeoXTokenizer"):
        definition["normalizer"] = {"type": "NFC"}
    added = []
    if CLASSES.get(kind, {}).get("mask_token") in vocabulary:
        mask = CLASSES[kind]["mask_token"]
        added = [added_token(vocabulary[mask], mask, special=True, lstrip=True)]  # as RoBERTa's class has it
    return definition | {"added_tokens": added}


def _sentencepiece(path: Path, kind: str, config: Mapping[str, Any]) -> JSONObject:
    """A SentencePiece model, its ids in the order of the class: fairseq's for XLM-R and CamemBERT."""
    model = read_sentencepiece(path)
    if kind == "XLMRobertaTokenizer":
        first = [("<s>", CONTROL), ("<pad>", CONTROL), ("</s>", CONTROL), ("<unk>", UNKNOWN)]
        model = _fairseq(model, first, 3)
    elif kind == "CamembertTokenizer":
        first = [
            ("<s>NOTUSED", CONTROL),
            ("<pad>", CONTROL),
            ("</s>NOTUSED", CONTROL),
            ("<unk>", UNKNOWN),
            ("<unk>NOTUSED", CONTROL),
        ]
        model = _fairseq(model, first, 1)
    elif kind == "T5Tokenizer":
        count = config.get("extra_ids", SENTINELS)
        for number in reversed(range(count)):
            model.add(f"<extra_id_{number}>", CONTROL)
    elif kind == "DebertaV2Tokenizer" and "[MASK]" not in model.tokens:
        model.add("[MASK]", CONTROL)
    return model.definition()


def _fairseq(model: SentencePieces, first: list[tuple[str, int]], kept_from: int) -> SentencePieces:
    """The same pieces behind fairseq's own first tokens, and a mask, which takes the blanks before it."""
    found = SentencePieces(
        model=model.model,
        byte_fallback=model.byte_fallback,
        unknown=3,
        characters=model.characters,
        dummy_prefix=model.dummy_prefix,
        one_blank=model.one_blank,
    )
    for token, kind in first:
        found.add(token, kind)
    for token, score, kind in zip(
        model.tokens[kept_from:], model.scores[kept_from:], model.kinds[kept_from:], strict=True
    ):
        found.add(token, kind, score)
    found.add("<mask>", CONTROL)
    found.takes_before.add("<mask>")
    return found
