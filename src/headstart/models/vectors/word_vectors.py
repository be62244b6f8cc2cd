"""Static word vectors: one vector a word, whatever stands around it.

What word2vec and GloVe leave behind, and the ecosystem's three file formats for it: word2vec's text
and binary format, and GloVe's text format.
"""

import gzip
import logging
import zlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import IO, cast

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from headstart.errors import HeadstartError, nearest
from headstart.folder import atomic, read_manifest, write_manifest

log = logging.getLogger(__name__)
KIND, VERSION = "word vectors", 1
FORMATS = ("word2vec-text", "word2vec-binary", "glove-text")


class WordVectors:
    """Words with their frequencies and vectors.

    Args:
        words: W different words, frequent ones first.
        counts: how often each occurred in the training text, `[W]`; zeros where that is not known.
        matrix: the vectors, `[W, D]`, float32.
    """

    def __init__(self, words: Sequence[str], counts: np.ndarray, matrix: np.ndarray) -> None:
        self.words = list(words)
        self.counts = np.asarray(counts, dtype=np.int64)
        self.matrix = np.ascontiguousarray(matrix, dtype=np.float32)
        self.index = {word: place for place, word in enumerate(self.words)}
        if not len(self.index) == len(self.words) == len(self.counts) == len(self.matrix):
            raise HeadstartError(
                f"{len(self.words)} words ({len(self.index)} different), {len(self.counts)} counts and "
                f"{len(self.matrix)} vectors do not belong together"
            )

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: str) -> bool:
        return word in self.index

    @cached_property
    def directions(self) -> np.ndarray:
        """The vectors at length 1, `[W, D]`; a zero vector stays zero."""
        unit: np.ndarray = self.matrix / np.maximum(np.linalg.norm(self.matrix, axis=1, keepdims=True), 1e-12)
        return unit

    def place(self, word: str) -> int:
        """The row of a word; an unknown word is a `HeadstartError`."""
        if word not in self.index:
            raise HeadstartError(f"there is no vector for the word {word!r}{_alike(word, self.words)}")
        return self.index[word]

    def vector(self, word: str) -> np.ndarray:
        """The vector of a word, `[D]`."""
        vector: np.ndarray = self.matrix[self.place(word)]
        return vector

    def similarity(self, a: str, b: str) -> float:
        """The cosine of the angle between two words."""
        return float(self.directions[self.place(a)] @ self.directions[self.place(b)])

    def nearest(self, word: str, k: int = 10) -> list[tuple[str, float]]:
        """The k words with the highest cosine to a word, itself left out."""
        place = self.place(word)
        return self._closest(self.directions[place], [place], k)

    def analogy(self, a: str, b: str, c: str, k: int = 1) -> list[tuple[str, float]]:
        """What is to c as b is to a: the k words nearest to b - a + c, these three left out.

        The sum is taken over vectors of length 1 (3CosAdd: Mikolov, Yih & Zweig 2013; Levy & Goldberg 2014).
        """
        first, second, third = places = [self.place(word) for word in (a, b, c)]
        wanted = self.directions[second] - self.directions[first] + self.directions[third]
        return self._closest(wanted / max(float(np.linalg.norm(wanted)), 1e-12), places, k)

    def _closest(self, direction: np.ndarray, leave_out: list[int], k: int) -> list[tuple[str, float]]:
        scores = self.directions @ direction  # [W]
        scores[leave_out] = -np.inf
        k = min(k, len(self) - len(set(leave_out)))
        best = np.argsort(-scores, kind="stable")[: max(k, 0)]
        return [(self.words[place], float(scores[place])) for place in best]

    def save(self, folder: Path) -> None:
        """Write vectors.safetensors, vocabulary.txt (a word and its count a line) and manifest.json.

        Raises:
            HeadstartError: a word with white space in it, which no format of word vectors can hold.
        """
        self._check_words()
        with atomic(folder) as temporary:
            temporary.mkdir(parents=True)
            save_file({"vectors": self.matrix}, temporary / "vectors.safetensors")
            write_vocabulary(temporary / "vocabulary.txt", dict(zip(self.words, self.counts, strict=True)))
            write_manifest(
                temporary, KIND, VERSION, {"words": len(self), "dimensions": int(self.matrix.shape[1])}
            )

    @classmethod
    def load(cls, folder: Path) -> "WordVectors":
        """Read a folder that `save` wrote."""
        read_manifest(folder, KIND, VERSION)
        counts = read_vocabulary(folder / "vocabulary.txt")
        try:
            matrix = load_file(folder / "vectors.safetensors")["vectors"]
        except (OSError, SafetensorError, KeyError):
            raise HeadstartError(
                f"{folder / 'vectors.safetensors'} is missing or damaged; make the word vectors again"
            ) from None
        return cls(list(counts), np.fromiter(counts.values(), np.int64, len(counts)), matrix)

    def export(self, path: Path, format: str) -> None:
        """Write one file in another tool's format: `word2vec-text`, `word2vec-binary` or `glove-text`.

        Raises:
            HeadstartError: unknown format, or a word with white space in it.
        """
        if format not in FORMATS:
            raise HeadstartError(f"there is no format {format!r} of word vectors{nearest(format, FORMATS)}")
        self._check_words()
        with atomic(path) as temporary, temporary.open("wb") as file:
            if format != "glove-text":
                file.write(f"{len(self)} {self.matrix.shape[1]}\n".encode())
            for word, row in zip(self.words, self.matrix, strict=True):
                if format == "word2vec-binary":
                    file.write(word.encode() + b" " + row.astype("<f4").tobytes() + b"\n")
                else:  # nine digits give a float32 back exactly
                    file.write(f"{word} {' '.join(f'{value:.9g}' for value in row.tolist())}\n".encode())

    def _check_words(self) -> None:
        for word in self.words:
            if word.split() != [word]:
                raise HeadstartError(
                    f"the word {word!r} is empty or has white space in it, which no file of vectors can hold"
                )


_DAMAGED = (EOFError, zlib.error, gzip.BadGzipFile)
_BOM = b"\xef\xbb\xbf"
_OTHERS = {
    b"PK\x03\x04": "a zip archive; unpack it, and give the file of vectors in it",
    b"BZh": "packed by bzip2; unpack it first",
    b"\xfd7zXZ": "packed by xz; unpack it first",
    b"\xba\x16\x4f\x2f": "a model of fastText; give the .vec file that is published beside it",
}
"""How files begin that hold vectors in another form, and what to do."""
LONGEST_LINE = 1 << 18

MOST_PACKED = 1032
"""Bytes that a byte of gzip may stand for."""


def read_vectors(path: Path) -> WordVectors:
    """Read word vectors: a folder of ours, or a file in word2vec's text or binary or in GloVe's format.

    A file may be packed by gzip. Of a word that is there twice the first vector counts, as in gensim.

    Files carry no counts; the order of their words stands for frequency.

    Raises:
        HeadstartError: no such file, one in none of these formats, or vectors with NaN or infinity.
    """
    if path.is_dir():
        return WordVectors.load(path)
    try:
        with _opened(path) as file:
            head = file.readline(LONGEST_LINE)
            beginning = file.readline(LONGEST_LINE)
    except FileNotFoundError:
        raise HeadstartError(f"there are no word vectors {path}; check the path") from None
    except _DAMAGED as error:
        raise HeadstartError(f"{path} is damaged gzip ({error}); get it again") from None
    for begins, what in _OTHERS.items():
        if head.startswith(begins):
            raise HeadstartError(f"{path} is {what}")
    fields = head.removeprefix(_BOM).split()
    counted = len(fields) == 2 and all(field.isdigit() for field in fields)
    read = _read_text
    if counted and not _is_text(beginning, int(fields[1])):
        read = _read_binary
    try:
        words, matrix = read(path, (int(fields[0]), int(fields[1])) if counted else None)
    except _DAMAGED as error:
        raise HeadstartError(f"{path} is damaged gzip ({error}); get it again") from None
    if not np.isfinite(matrix).all():
        word = words[int(np.argmin(np.isfinite(matrix).all(1)))]
        raise HeadstartError(f"{path}: the vector of {word!r} holds NaN or infinity; get the file again")
    first = {word: place for place, word in reversed(list(enumerate(words)))}
    kept = sorted(first.values())
    if len(kept) < len(words):
        log.warning("%s has %d words twice; their first vectors count", path, len(words) - len(kept))
        words, matrix = [words[place] for place in kept], matrix[kept]
    return WordVectors(words, np.zeros(len(words), np.int64), matrix)


def _opened(path: Path) -> IO[bytes]:
    """The file, unpacked where it is gzip, as large sets of vectors are published."""
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return cast(IO[bytes], gzip.open(path, "rb")) if packed else path.open("rb")


def _is_text(line: bytes, width: int) -> bool:
    """Whether what follows the head is a line of a word and numbers."""
    _, *fields = line.rsplit(None, width)
    try:
        return len(fields) == width and bool(np.isfinite([float(field) for field in fields]).all())
    except ValueError:
        return False


def _read_text(path: Path, shape: tuple[int, int] | None) -> tuple[list[str], np.ndarray]:
    words: list[str] = []
    rows: list[np.ndarray] = []
    width = shape[1] if shape else None
    with _opened(path) as file:
        if shape:
            file.readline()
        for number, line in enumerate(file, 2 if shape else 1):
            line = line.removeprefix(_BOM) if number == 1 else line
            if not line.strip() and words:
                continue
            width = width or len(line.split()) - 1
            # from the right: GloVe's 840B file has words with spaces in them
            word, *fields = line.rsplit(None, width) if width > 0 else [b""]
            try:
                with np.errstate(over="ignore"):  # a number too large becomes infinity, which is refused
                    row = np.array(fields, dtype="S").astype(np.float32)
            except ValueError:
                row = np.empty(0, np.float32)
            if not word or len(row) != width:
                raise HeadstartError(f"{path} line {number} is not a word and {width or 'some'} numbers")
            words.append(word.decode("utf-8", "replace"))
            rows.append(row)
    if not rows or (shape and len(rows) != shape[0]):
        raise HeadstartError(f"{path} holds {len(rows)} words{f' and announces {shape[0]}' if shape else ''}")
    return words, np.stack(rows)


def _read_binary(path: Path, shape: tuple[int, int] | None) -> tuple[list[str], np.ndarray]:
    assert shape is not None
    count, width = shape
    if count * 4 * width > path.stat().st_size * MOST_PACKED:
        raise HeadstartError(
            f"{path} announces {count:,} words of {width:,} numbers, and is too short for them"
        )
    words: list[str] = []
    matrix = np.empty((count, width), np.float32)
    with _opened(path) as file:
        file.readline()
        for place in range(count):
            word = bytearray()
            while (sign := file.read(1)) not in (b" ", b""):
                word += sign
            row = file.read(4 * width)
            if len(row) != 4 * width:
                raise HeadstartError(f"{path} ends after {place} of {count} words; get the file again")
            words.append(word.lstrip(b"\n").decode("utf-8", "replace"))
            matrix[place] = np.frombuffer(row, "<f4")
    return words, matrix


def _alike(word: str, known: list[str]) -> str:
    """A hint at a known word: one of the frequent ones, since comparing with all of them would take long."""
    same = next((other for other in known if other.lower() == word.lower()), None)
    return f"; did you mean {same!r}?" if same else nearest(word, known[:5000])


def write_vocabulary(path: Path, counts: dict[str, int]) -> None:
    """A word and its count a line, as GloVe's tools write it."""
    with atomic(path) as temporary:
        temporary.write_text("".join(f"{word} {count}\n" for word, count in counts.items()), encoding="utf-8")


def read_vocabulary(path: Path) -> dict[str, int]:
    """What `write_vocabulary` wrote.

    Raises:
        HeadstartError: no such file, or a line that is not a word and a count.
    """
    counts: dict[str, int] = {}
    try:
        with path.open(encoding="utf-8", newline="\n") as file:
            for number, line in enumerate(file, 1):
                word, _, count = line.rstrip("\n").rpartition(" ")
                if not word or not count.isdigit():
                    raise HeadstartError(f"{path} line {number} is not a word and its count")
                counts[word] = int(count)
    except FileNotFoundError:
        raise HeadstartError(f"there is no {path}; check the path") from None
    return counts
