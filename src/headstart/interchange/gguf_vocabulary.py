"""A tokenizer as the fields of a GGUF file: byte-level BPE with its merges, SentencePiece's BPE with scores.

llama.cpp joins the neighbours of a SentencePiece text whose piece scores best, whichever two pieces they are.
A `tokenizer.json` lists pairs instead. It is written where it lists all pairs that make a piece, and those of
one piece together, for then both ways cut a text alike.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from headstart.errors import HeadstartError
from headstart.folder import JSONObject
from headstart.tokenizer.base import Tokenizer
from headstart.tokenizer.byte_level import (
    DIGITS_THEN_GPT2_RULE,
    GPT2_RULE,
    LLAMA3_RULE,
    QWEN_RULE,
    splitting_rule,
)
from headstart.tokenizer.pieces import BLANK
from headstart.tokenizer.sentencepiece_file import BYTE, CONTROL, NORMAL, UNKNOWN, USER_DEFINED

if TYPE_CHECKING:
    from gguf import GGUFWriter

_RULES = {GPT2_RULE: "gpt-2", DIGITS_THEN_GPT2_RULE: "smollm", LLAMA3_RULE: "llama-bpe", QWEN_RULE: "qwen2"}


@dataclass
class Vocabulary:
    """What a file says of its tokenizer."""

    model: str
    """llama.cpp's name of the kind: "gpt2" or "llama"."""
    pre: str
    """Its name of the rule by which text is split."""
    tokens: list[str]
    kinds: list[int]
    """Of each token, as SentencePiece numbers them."""
    merges: list[str] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    begins_with_blank: bool = False
    special: dict[str, int] = field(default_factory=dict)
    """Role -> id."""
    opens: bool = False
    """Whether the first special token stands before a text."""

    def write(self, writer: "GGUFWriter") -> None:
        """Add the fields."""
        writer.add_tokenizer_model(self.model)
        writer.add_tokenizer_pre(self.pre)
        writer.add_token_list(self.tokens)
        writer.add_token_types(self.kinds)
        if self.model == "llama":
            writer.add_token_scores(self.scores)
            writer.add_add_space_prefix(self.begins_with_blank)
        else:
            writer.add_token_merges(self.merges)
        for role, index in self.special.items():
            getattr(writer, f"add_{role}_token_id")(index)
        writer.add_add_bos_token(self.opens)


def vocabulary_of(tokenizer: Tokenizer, vocab_size: int) -> Vocabulary:
    """What a file says of a tokenizer; tokens fill up the rows that the embedding has beyond it.

    Raises:
        HeadstartError: a kind, or a rule of splitting, that llama.cpp does not know.
    """
    definition, special = tokenizer.definition, tokenizer.special
    padding = [f"[PAD{index}]" for index in range(tokenizer.vocab_size, vocab_size)]
    tokens = [token or f"[UNUSED{index}]" for index, token in enumerate(tokenizer.tokens)]
    kinds = [CONTROL if index in special.all else NORMAL for index in range(len(tokens))]
    ids, _ = tokenizer.with_special([])
    roles = {"bos": special.start, "eos": special.end, "unk": special.unknown, "pad": special.pad}
    found = Vocabulary(
        model="gpt2",
        pre="",
        tokens=tokens + padding,
        kinds=kinds + [USER_DEFINED] * len(padding),
        special={role: index for role, index in roles.items() if index is not None},
        opens=bool(ids) and ids[0] == special.start,
    )
    model = definition["model"]
    if model["type"] == "BPE" and model.get("byte_fallback"):
        return _with_scores(found, tokenizer)
    if model["type"] != "BPE" or definition.get("normalizer"):
        raise HeadstartError(
            f"{tokenizer.path}: GGUF files are written with byte-level BPE and SentencePiece's BPE alone; "
            "export as hf"
        )
    name = _RULES.get(splitting_rule(definition) or "")
    if name is None:
        raise HeadstartError(
            f"{tokenizer.path} splits text by a rule that llama.cpp does not know; export as hf "
            f"(known: {', '.join(_RULES.values())})"
        )
    found.pre = name
    found.merges = [" ".join(pair) for pair in _pairs(model["merges"])]
    return found


def _with_scores(found: Vocabulary, tokenizer: Tokenizer) -> Vocabulary:
    """SentencePiece's BPE: a piece that is made earlier scores more."""
    definition = tokenizer.definition
    model, added = definition["model"], definition.get("added_tokens") or []
    pairs = list(_pairs(model["merges"]))
    made = [left + right for left, right in pairs]
    ranks: dict[str, int] = {}
    for piece in made:
        ranks.setdefault(piece, len(ranks))
    together = [ranks[piece] for piece in made]
    listed, pieces = set(pairs), set(model["vocab"]) - {one["content"] for one in added}
    pieces -= {piece for piece in pieces if _is_byte(piece)}
    lacking = next(
        (
            piece
            for piece in ranks
            for cut in range(1, len(piece))
            if piece[:cut] in pieces and piece[cut:] in pieces and (piece[:cut], piece[cut:]) not in listed
        ),
        None,
    )
    if together != sorted(together) or lacking is not None:
        raise HeadstartError(
            f"{tokenizer.path} merges in an order that scores cannot say, as SentencePiece's alone can; "
            "export as hf"
        )
    begins = _begins_with_blank(definition)
    if begins is None:
        raise HeadstartError(
            f"{tokenizer.path} changes text before it is cut, which GGUF does not; export as hf"
        )
    for one in added:
        if not one.get("special", True):
            found.kinds[one["id"]] = USER_DEFINED
    for index, token in enumerate(tokenizer.tokens):
        if token and _is_byte(token):
            found.kinds[index] = BYTE
    if tokenizer.special.unknown is not None:
        found.kinds[tokenizer.special.unknown] = UNKNOWN
    found.model, found.pre, found.begins_with_blank = "llama", "default", begins
    found.scores = [-float(ranks.get(token, len(ranks))) for token in found.tokens]
    return found


def _begins_with_blank(definition: JSONObject) -> bool | None:
    """Whether a text gets a blank before it; None: something else is done to it, too."""
    normalizer = definition.get("normalizer") or {"type": "Sequence", "normalizers": []}
    parts = normalizer["normalizers"] if normalizer["type"] == "Sequence" else [normalizer]
    cutter = definition.get("pre_tokenizer")
    if cutter is not None and cutter["type"] == "Metaspace" and not parts:
        return bool(cutter.get("prepend_scheme", "always") != "never") and not cutter.get("split", True)
    blanks = {"type": "Replace", "pattern": {"String": " "}, "content": BLANK}
    prepend = {"type": "Prepend", "prepend": BLANK}
    merges_all = cutter is None or (cutter["type"] == "Split" and cutter["pattern"] == {"String": " "})
    if merges_all and parts in ([blanks], [prepend, blanks]):
        return len(parts) == 2
    return None


def _pairs(merges: Iterable[Any]) -> Iterable[tuple[str, str]]:
    for merge in merges:
        left, right = merge.split(" ", 1) if isinstance(merge, str) else merge
        yield left, right


def _is_byte(token: str) -> bool:
    return len(token) == 6 and token.startswith("<0x") and token.endswith(">")
