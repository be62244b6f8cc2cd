"""The older names of this package, until their last users have moved on."""

from pathlib import Path
from typing import TYPE_CHECKING

from headstart.tokenizer.folder import open_tokenizer, write_for_transformers
from headstart.tokenizer.special import HEADSTART_TOKENS
from headstart.tokenizer.train import TokenizerRecipe, train

if TYPE_CHECKING:
    from headstart.tokenizer.base import Tokenizer
else:

    class Tokenizer:
        def __new__(cls, path: Path):
            return open_tokenizer(path.parent)


START, END, PAD, MASK = HEADSTART_TOKENS
SPECIAL = list(HEADSTART_TOKENS)
START_ID, END_ID, PAD_ID, MASK_ID = range(4)

__all__ = [
    "END_ID",
    "MASK",
    "MASK_ID",
    "PAD_ID",
    "SPECIAL",
    "START_ID",
    "Tokenizer",
    "TokenizerRecipe",
    "open_tokenizer",
    "train",
    "write_for_transformers",
]
