"""What the objectives have to know of a tokenizer's ids."""

from dataclasses import dataclass

import numpy as np

from headstart.errors import HeadstartError
from headstart.tokenizer.base import Tokenizer
from headstart.tokenizer.special import SpecialIds

SENTENCE_ENDS = (".", "!", "?", "…", "。", "！", "？")
CLOSING = "\"'”’»)] \n\t"


@dataclass(frozen=True)
class Vocabulary:
    """Ids by what they are: boolean arrays `[V]`."""

    special: SpecialIds
    ordinary: np.ndarray
    """Pieces of text: what may be hidden, and what may be put in its place."""
    framing: np.ndarray
    """What opens, closes, parts or pads texts; special ids inside a text (unknown) are not among them."""
    begins_word: np.ndarray
    ends_sentence: np.ndarray
    decoder_start: str = "end"
    """Role of the special token with which the decoder of an encoder-decoder begins."""

    def id(self, role: str) -> int:
        """The special token of a role; a `HeadstartError` if the tokenizer has none."""
        found: int | None = getattr(self.special, role)
        if found is None:
            raise HeadstartError(
                f"this objective needs a special token for {role!r}, and the tokenizer has none; change "
                "objective.kind, or encode the corpus with a tokenizer that has one"
            )
        return found


def read_vocabulary(tokenizer: Tokenizer, decoder_start: str = "end") -> Vocabulary:
    """The vocabulary of a tokenizer, for a model whose decoder begins with that special token.

    A piece begins a word if its first character is a blank, a sign or an ideograph; another letter or digit
    goes on with the word before it, so that the first word of a line counts to its line break. A piece ends
    a sentence if a full stop, question or exclamation mark is its last character, closing quotes and
    brackets aside.
    """
    special = tokenizer.special
    texts = [piece.decode("utf-8", errors="replace") for piece in tokenizer.pieces]
    ordinary = np.ones(len(texts), dtype=bool)
    ordinary[list(special.all)] = False
    framing = np.zeros(len(texts), dtype=bool)
    frame = (special.start, special.end, special.separator, special.pad)
    framing[[index for index in frame if index is not None]] = True
    goes_on = np.array([_goes_on(text[:1]) for text in texts])
    closes = np.array([text.rstrip(CLOSING).endswith(SENTENCE_ENDS) for text in texts])
    return Vocabulary(special, ordinary, framing, ~goes_on, closes, decoder_start)


def _goes_on(first: str) -> bool:
    """Whether a piece with this first character is the rest of a word; U+FFFD is the rest of a character."""
    return (first.isalnum() and not "\u2e80" <= first <= "\u9fff") or first == "\ufffd"
