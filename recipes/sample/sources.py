"""The free text that the studio's sample is made of, from the repository's samples: `sources.py SAMPLES OUT`.

`OUT/raw/crawl` has the pages of two hosts, `OUT/raw/austen` and `OUT/raw/shakespeare` books, all of them in
the public domain or a public document; `OUT/labels` has passages of other books of the same and two more
authors, labelled by who wrote them.
"""

import gzip
import json
import random
import re
import shutil
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

PAGES = {"factbook.example": 8, "rights.example": 8}
"""Hosts, and how many pages of each."""
BOOKS = {
    "austen": ("austen-northanger-abbey",),
    "shakespeare": ("shakespeare-tempest", "shakespeare-tempest-folio"),
}
PASSAGES = {
    "Austen": ("austen-emma", "austen-persuasion"),
    "Milton": ("milton-paradise-lost", "milton-areopagitica"),
    "Shakespeare": ("shakespeare-hamlet", "shakespeare-twelfth-night", "shakespeare-julius-caesar"),
    "King James Bible": ("king-james-bible",),
}  # fmt: skip
WORDS = 24
"""Of a passage: few enough that an author is not always certain."""
TRAIN, TEST, SEED = 300, 100, 0
"""Passages of each author, and of their order."""


def main(samples: Path, out: Path) -> None:
    """Write all of it."""
    raw, labels = out / "raw", out / "labels"
    folder = raw / "crawl"
    folder.mkdir(parents=True, exist_ok=True)
    crawl = (samples / "crawl" / "headstart-sample-00000.warc.gz").read_bytes()
    left = dict(PAGES)
    with (folder / "pages.warc.gz").open("wb") as file:
        for member, host in _responses(crawl):
            if left.get(host):
                left[host] -= 1
                file.write(member)
    for author, names in BOOKS.items():
        (raw / author).mkdir(exist_ok=True)
        for name in names:
            shutil.copyfile(samples / "books" / f"{name}.txt.gz", raw / author / f"{name}.txt.gz")
    labels.mkdir(exist_ok=True)
    chance = random.Random(SEED)
    train, test = [], []
    for author, names in PASSAGES.items():
        found = [passage for name in names for passage in _passages(samples / "books" / f"{name}.txt.gz")]
        chosen = chance.sample(found, TRAIN + TEST)
        train += [{"text": text, "label": author} for text in chosen[:TRAIN]]
        test += [{"text": text, "label": author} for text in chosen[TRAIN:]]
    for name, rows in (("train", train), ("test", test)):
        chance.shuffle(rows)
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (labels / f"author.{name}.jsonl").write_text(lines, encoding="utf-8")


def _responses(data: bytes) -> Iterator[tuple[bytes, str]]:
    """The answers of a WARC file: each as its gzip member, and the host that gave it."""
    while data:
        reader = zlib.decompressobj(wbits=31)
        head = reader.decompress(data).partition(b"\r\n\r\n")[0].decode("utf-8", "replace")
        found = re.search(r"WARC-Target-URI: \w+://([^/\r\n]+)", head)
        if found is not None and "WARC-Type: response" in head:
            yield data[: len(data) - len(reader.unused_data)], found[1]
        data = reader.unused_data


def _passages(book: Path) -> list[str]:
    """The running text in pieces of `WORDS` words; lines in capitals, which are headings, are left out."""
    text = gzip.decompress(book.read_bytes()).decode("utf-8")
    words = [word for line in text.splitlines() if not line.isupper() for word in line.split()]
    return [" ".join(words[place : place + WORDS]) for place in range(0, len(words) - WORDS, WORDS)]


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
