"""Lines and paragraphs that stand in many documents of the corpus: menus, licences, notices; no single page
shows them.

Llama 3 (2024, section 3.1.1) drops lines seen more than six times in 30 million documents. Documents of
earlier corpora count, too: of each distinct line a corpus keeps in how many of its documents it stands.
"""

import hashlib
from collections.abc import Iterator

import numpy as np

from headstart.corpus import removed_spans
from headstart.corpus.dedup import fingerprint_index
from headstart.corpus.dedup.deduplicate import KEYED, merged
from headstart.corpus.removals import left
from headstart.corpus.removed_spans import LINES, RemovedSpan, cut_by
from headstart.corpus.work import Made, Work, held, save, slices, step

LINE, PARAGRAPH = 0, 1  # what a key of `KEYED` is of, in `low`
_BETWEEN = {LINE: "\n", PARAGRAPH: "\n\n"}
_INDEXED = {LINE: fingerprint_index.LINES, PARAGRAPH: fingerprint_index.PARAGRAPHS}
_RULES = {LINE: "repeated_line", PARAGRAPH: "repeated_paragraph"}


def _parts(text: str, kind: int) -> Iterator[tuple[int, str]]:
    """The lines or the paragraphs of a text, each with its first character's place."""
    start = 0
    for part in text.split(_BETWEEN[kind]):
        yield start, part
        start += len(part) + len(_BETWEEN[kind])


def _hashes(parts: list[str], kind: int) -> np.ndarray:
    """A 64-bit hash of each part, without what surrounds it and its case; 0 for an empty one."""
    digests = (
        hashlib.blake2b(bare.encode("utf-8", "replace"), digest_size=8, salt=bytes([kind])).digest()
        if (bare := part.strip().lower())
        else bytes(8)
        for part in parts
    )
    return np.frombuffer(b"".join(digests), np.uint64)


def _limits(work: Work) -> dict[int, int]:
    """In how many documents a line and a paragraph may stand, of those that are looked at."""
    given = {LINE: work.recipe.repeated_lines, PARAGRAPH: work.recipe.repeated_paragraphs}
    return {kind: limit for kind, limit in given.items() if limit is not None}


@step("lines")
def count_lines(work: Work, task: int) -> Made:
    """The lines and paragraphs of a task's documents, each once a document."""
    wanted = _limits(work)
    places = left(work, task, LINES)
    parts = []
    texts = removed_spans.texts(work, task, places, LINES)
    for number, text in zip(work.numbers(task)[places].tolist(), texts, strict=True):
        for kind in wanted:
            keys = np.unique(_hashes(text.split(_BETWEEN[kind]), kind))
            keyed = np.zeros(len(keys), KEYED)
            keyed["key"], keyed["low"], keyed["document"] = keys, kind, number
            parts.append(keyed[keys != 0])
    return merged(parts)


@step("repeated")
def repeated(work: Work, partition: int) -> Made:
    """The lines and paragraphs that more documents have than the recipe allows, as ascending keys."""
    count = work.partitions("lines")
    keyed = merged(slices(work.keys("lines"), partition, count))
    keys, first, counts = np.unique(keyed["key"], return_index=True, return_counts=True)
    kinds, gone = keyed["low"][first], np.zeros(len(keys), bool)
    for kind, limit in _limits(work).items():
        own = kinds == kind
        rows = np.zeros(np.count_nonzero(own), fingerprint_index.COUNTED)
        rows["key"], rows["count"] = keys[own], counts[own]
        save(fingerprint_index.path(work, _INDEXED[kind], partition), rows)
        total = counts[own]
        for there in fingerprint_index.earlier(work, _INDEXED[kind], partition, count):
            _, mine, theirs = np.intersect1d(rows["key"], there["key"], True, return_indices=True)
            total[mine] += there["count"][theirs]
        gone[own] = total > limit
    return keys[gone]


@step(cut_by(LINES), "parquet")
def drop_lines(work: Work, task: int) -> Made:
    """A task's documents without repeated paragraphs and lines, those that change."""
    places = left(work, task, LINES)
    texts = removed_spans.texts(work, task, places, LINES)
    every = [hashes for text in texts for hashes in _both(text)]
    inside = held(work.files("repeated"), np.concatenate([np.zeros(0, np.uint64), *every]))
    repeats = np.split(inside, np.cumsum([*map(len, every)]))

    def cut(row: int) -> tuple[str, list[RemovedSpan]]:
        return _without(texts[row], *(flags.tolist() for flags in repeats[2 * row : 2 * row + 2]))

    return removed_spans.write_spans(work, task, LINES, places, cut)


def _both(text: str) -> tuple[np.ndarray, np.ndarray]:
    """The hashes of a text's paragraphs, and of its lines."""
    return _hashes(text.split("\n\n"), PARAGRAPH), _hashes(text.split("\n"), LINE)


def _without(text: str, paragraphs: list[bool], lines: list[bool]) -> tuple[str, list[RemovedSpan]]:
    """A text without some of its paragraphs and lines, and what went."""
    pieces, kept = [], []
    line_of = {start: number for number, (start, _) in enumerate(_parts(text, LINE))}
    for (start, paragraph), gone in zip(_parts(text, PARAGRAPH), paragraphs, strict=True):
        if gone:
            pieces.append(RemovedSpan(_RULES[PARAGRAPH], start, paragraph))
            continue
        left = []
        for offset, line in _parts(paragraph, LINE):
            if lines[line_of[start + offset]]:
                pieces.append(RemovedSpan(_RULES[LINE], start + offset, line))
            else:
                left.append(line)
        if rest := "\n".join(left).strip("\n"):
            kept.append(rest)
    return "\n\n".join(kept).strip(), pieces
