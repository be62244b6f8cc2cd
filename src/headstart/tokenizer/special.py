"""Special tokens: the ids of a vocabulary that stand for no text."""

from dataclasses import dataclass, fields, replace
from typing import Any


@dataclass(frozen=True)
class SpecialIds:
    """Which ids a tokenizer's special tokens have; a role that its family does not know is None.

    One id may fill several roles: GPT-2's `<|endoftext|>` closes a document and opens the next,
    BERT's `[SEP]` closes a text and stands between two.
    """

    start: int | None
    """Opens a text: `<s>`, `[CLS]`, `<|begin_of_text|>`; here an encoder answers for the whole text."""
    end: int | None
    """Closes a text: `</s>`, `[SEP]`, `<|endoftext|>`; a decoder stops here."""
    pad: int | None
    mask: int | None
    unknown: int | None
    separator: int | None
    """Stands between two texts of a pair."""
    sentinels: tuple[int, ...]
    """T5's `<extra_id_0>`, `<extra_id_1>`, ... in that order (their ids descend)."""
    all: frozenset[int]
    """Every id that is no piece of text, the roles above included."""
    strips_before: frozenset[int] = frozenset()
    """Those that take the blanks before them along (RoBERTa's mask)."""
    strips_behind: frozenset[int] = frozenset()
    """Those that take the blanks behind them along (Phi-3's turns)."""

    def below(self, size: int) -> "SpecialIds":
        """The same without ids from `size` on."""

        def kept(value: Any) -> Any:
            if value is None or isinstance(value, int):
                return value if value is not None and value < size else None
            return type(value)(index for index in value if index < size)

        return replace(self, **{one.name: kept(getattr(self, one.name)) for one in fields(self)})


BLANKS = "\t\n\x0b\x0c\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)
"""What counts as blank beside such a token: Unicode's White_Space."""

HEADSTART_TOKENS = ("<s>", "</s>", "<pad>", "<mask>")
HEADSTART_IDS = SpecialIds(
    start=0, end=1, pad=2, mask=3, unknown=None, separator=1, sentinels=(), all=frozenset(range(4))
)
"""headstart's own."""
