"""Tokens of short passages: what people fine-tune for is mostly a sentence or a few.

    python recipes/foundation/passages.py CORPUS TOKENIZER OUT

A document is cut between sentences into passages of 40 to 400 characters, of a length drawn anew each time,
so that a row of 128 tokens holds several whole texts, each with a vector that a teacher gives it.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

from headstart.corpus_folder import corpus_documents
from headstart.tokenizer.folder import open_tokenizer
from headstart.tokenizer.shards import ShardRecipe, encode

SHORTEST, LONGEST, MOST = 40, 400, 1200
SEED = 0


def passages(text: str, random: Random) -> Iterator[str]:
    """The passages of a document, in order; a sentence longer than `MOST` is cut there."""
    held, wanted = "", random.uniform(SHORTEST, LONGEST)
    for sentence in re.split(r"(?<=[.!?;:])\s+|\n+", text):
        held = f"{held} {sentence[:MOST]}".strip()
        if len(held) >= wanted:
            yield held
            held, wanted = "", random.uniform(SHORTEST, LONGEST)
    if len(held) >= SHORTEST:
        yield held


def documents(corpus: Path) -> Iterator[dict[str, str]]:
    """The passages of a corpus as documents."""
    random = Random(SEED)
    for document in corpus_documents(corpus, ("id", "text", "domain")):
        for number, text in enumerate(passages(document["text"], random)):
            yield {"id": f"{document['id']}/{number}", "text": text, "domain": document["domain"]}


def main() -> None:
    """Encode a corpus."""
    corpus, tokenizer, out = map(Path, sys.argv[1:4])
    fields = encode(documents(corpus), open_tokenizer(tokenizer), ShardRecipe(heldout_share=0.005), out)
    print(fields["splits"]["train"]["documents"], fields["splits"]["train"]["tokens"])


if __name__ == "__main__":
    main()
