"""One tokenizer of each kind, trained on the sample books and a little of other languages."""

import pytest

from headstart.tokenizer.kinds import KINDS
from headstart.tokenizer.train import TokenizerRecipe, train

FOREIGN = "Żółć gęślą jaźń — größer naïve. Привет, мир! שלום עולם 東京都 ½ 1234567890 " * 20


@pytest.fixture(scope="session")
def kinds(documents, tmp_path_factory):
    """Kind to a tokenizer of 700 entries."""
    folder = tmp_path_factory.mktemp("kinds")
    texts = [FOREIGN, *(document["text"] for document in documents[::6])]
    return {kind: train(texts, TokenizerRecipe(kind=kind, vocab_size=700), folder / kind) for kind in KINDS}
