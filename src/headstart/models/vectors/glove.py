"""GloVe (Pennington, Socher & Manning 2014): word vectors from the logarithms of co-occurrence counts.

Two steps. `count_cells` counts how often words stand near each other, in worker processes that hold a chunk
of text each, and merges their counts one group of rows at a time. `Glove` then fits the vectors to the
counts, one block of the matrix after another.

The words are dealt out at random to B groups of R, which cuts the matrix of counts into B times B blocks.
All cells of a block are one step of AdaGrad, computed by products of sparse and dense matrices; blocks that
share neither rows nor columns are computed at the same time (Gemulla et al. 2011), so the result does not
depend on the number of threads.
"""

import math
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from scipy.sparse import csr_matrix

from headstart.errors import HeadstartError
from headstart.folder import atomic, read_manifest, remove, write_manifest
from headstart.progress import ProgressBar
from headstart.workers import worker_pool

KIND, VERSION = "co-occurrence cells", 1

with warnings.catch_warnings():  # torch says once in a process that these tensors are young
    warnings.simplefilter("ignore")
    torch.sparse_csr_tensor([0, 0], [], [], (1, 0))

CHUNK_BYTES = 6_000_000  # of text that a worker counts at once: about a million words, some 300 MB in work
FEWEST_GROUPS = (
    32  # a vector changes once a group and pass: with fewer groups the first passes gain too little
)
MOST_WORDS_IN_GROUP = 2048  # two groups' vectors fit into a core's cache

# Pennington et al. 2014, section 4.2: f(x) = (x / 100)^0.75, at most 1.
SATURATION, POWER = 100.0, 0.75


def groups_of(words: int, seed: int) -> tuple[int, int, np.ndarray]:
    """How words are dealt out: number of groups B, places in a group R, each word's place below B R."""
    groups = min(words, max(FEWEST_GROUPS, math.ceil(words / MOST_WORDS_IN_GROUP)))
    size = math.ceil(words / groups)
    return groups, size, np.random.default_rng(seed).permutation(words)


def count_cells(text: Path, words: Sequence[str], window: int, seed: int, out: Path, workers: int) -> int:
    """Count co-occurrences in a file of lines of words; returns the number of stored cells.

    A pair of words d places apart in a line counts 1/d for d up to `window`, in both directions; words
    outside the vocabulary are left out beforehand (as in the paper's section 4.2 and its authors' tool). A
    folder that is whole stays.

    Args:
        text: words with spaces between them, one line an independent piece of text.
        words: the vocabulary.
        window: words to each side.
        out: the folder to write: for each group I a file of cells (I, J >= I), sorted by J, row and column.

    Raises:
        HeadstartError: no two words of the vocabulary stand near each other.
    """
    if (out / "manifest.json").exists():
        return int(read_manifest(out, KIND, VERSION)["cells"])
    groups, size, _ = groups_of(len(words), seed)
    ranges = list(_ranges(text, CHUNK_BYTES))
    cells = 0
    with atomic(out) as folder:
        runs = folder / "runs"
        runs.mkdir(parents=True)
        with (
            worker_pool(workers, __name__, _prepare, (text, list(words), window, seed, runs)) as pool,
            ProgressBar("count co-occurrences", text.stat().st_size, "bytes") as bar,
        ):
            for start, end in pool.map(_count_range, ranges):
                bar.advance(end - start)
        with ProgressBar("merge counts", groups, "groups") as bar:
            for group in range(groups):
                cells += _merge(runs, group, groups, size, folder / f"cells-{group:05d}")
                bar.advance(1)
        remove(runs)
        if not cells:
            raise HeadstartError(
                f"no two words of the vocabulary stand near each other in {text}; give more text"
            )
        write_manifest(
            folder, KIND, VERSION, {"cells": cells, "groups": groups, "group_size": size, "seed": seed}
        )
    return cells


def _ranges(text: Path, length: int) -> Iterator[tuple[int, int]]:
    """Start and end of pieces of a file of about `length` bytes that end with a line."""
    size, start = text.stat().st_size, 0
    with text.open("rb") as file:
        while start < size:
            file.seek(min(start + length, size))
            file.readline()
            yield start, file.tell()
            start = file.tell()


_task: tuple[Path, dict[str, int], int, int, int, Path]


def _prepare(text: Path, words: list[str], window: int, seed: int, runs: Path) -> None:
    """In every worker: the place of every word, and what else does not change from range to range."""
    global _task
    groups, size, places = groups_of(len(words), seed)
    _task = text, dict(zip(words, places.tolist(), strict=True)), groups, size, window, runs


def _count_range(range_: tuple[int, int]) -> tuple[int, int]:
    """Count one range of the file into a run: keys, counts, and where each group of rows begins."""
    text, place_of, groups, size, window, runs = _task
    with text.open("rb") as file:
        file.seek(range_[0])
        lines = file.read(range_[1] - range_[0]).decode("utf-8").split("\n")
    places: list[int] = []
    ends = []
    for line in lines:
        places += [place_of[word] for word in line.split(" ") if word in place_of]
        ends.append(len(places))
    keys, counts = cooccurrences(np.array(places, np.int64), np.array(ends), window, groups, size)
    name = f"{range_[0]:015d}"
    bounds = np.searchsorted(keys, np.arange(groups + 1) * (groups * size * size))
    for kind, array in (("keys", keys), ("counts", counts), ("bounds", bounds)):
        np.save(runs / f"{name}.{kind}.npy", array)
    return range_


def cooccurrences(
    places: np.ndarray, ends: np.ndarray, window: int, groups: int, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Keys and counts of the cells of one piece of text, sorted by key.

    A cell's key is ((I B + J) R + r) R + c, for row r of group I and column c of group J. Cells with I > J
    are kept as their mirror image (the matrix is symmetric); those with I = J are kept as they are.

    Args:
        places: the words of all lines, by their places `[N]`.
        ends: where each line ends in `places`.
    """
    line = np.searchsorted(ends, np.arange(len(places)), side="right")
    found = []
    for distance in range(1, window + 1):
        together = line[:-distance] == line[distance:]
        one, other = places[:-distance][together], places[distance:][together]
        low, high = np.minimum(one, other), np.maximum(one, other)
        (i, r), (j, c) = np.divmod(low, size), np.divmod(high, size)
        # The distance rides along in the lowest digit, so that one sort brings equal cells together.
        found.append((((i * groups + j) * size + r) * size + c) * (window + 1) + distance)
        same = i == j
        i, r, c = i[same], r[same], c[same]
        found.append((((i * groups + i) * size + c) * size + r) * (window + 1) + distance)
    tagged = np.sort(np.concatenate(found))
    keys, distances = np.divmod(tagged, window + 1)
    return _sum_equal(keys, 1.0 / np.maximum(distances, 1))


def _sum_equal(keys: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sorted keys without repetition, and the sums of their counts."""
    if not len(keys):
        return keys, counts
    first = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1])))
    return keys[first], np.add.reduceat(counts, first)


def _merge(runs: Path, group: int, groups: int, size: int, path: Path) -> int:
    """Bring the cells of one group of rows together from all runs; returns their number."""
    pieces = []
    for bounds in sorted(runs.glob("*.bounds.npy")):
        first, last = np.load(bounds)[group : group + 2]
        name = bounds.name.removesuffix(".bounds.npy")
        pieces.append(
            [np.load(runs / f"{name}.{k}.npy", mmap_mode="r")[first:last] for k in ("keys", "counts")]
        )
    keys, counts = (np.concatenate([piece[k] for piece in pieces]) for k in (0, 1))
    order = np.argsort(keys, kind="stable")
    keys, counts = _sum_equal(keys[order], counts[order])
    block, place = np.divmod(keys, size * size)
    np.save(f"{path}.starts.npy", np.searchsorted(block, np.arange(groups + 1) + group * groups))
    np.save(f"{path}.rows.npy", (place // size).astype(np.uint16))
    np.save(f"{path}.columns.npy", (place % size).astype(np.uint16))
    np.save(f"{path}.counts.npy", counts.astype(np.float32))
    return len(keys)


class Glove:
    """The vectors while they are fitted to the counts.

    `tables` and `squares` are `[2, B R, D + 2]`: for words and for contexts, the vectors, and the sums of
    their squared gradients. A word's row holds its vector, its bias and a 1, a context's its vector, a 1
    and its bias, so that the product of two rows is w . c + b + b'.

    Args:
        cells: a folder that `count_cells` wrote.
        words: size of the vocabulary.
        width: dimensions D of the vectors.
        rate: AdaGrad's learning rate; the paper's is 0.05.
    """

    def __init__(self, cells: Path, words: int, width: int, rate: float, seed: int) -> None:
        manifest = read_manifest(cells, KIND, VERSION)
        self.groups, self.size, self.cells = manifest["groups"], manifest["group_size"], manifest["cells"]
        _, _, self.places = groups_of(words, manifest["seed"])
        self.width, self.rate = width, np.float32(rate)
        self.blocks = [_GroupOfCells(cells / f"cells-{group:05d}") for group in range(self.groups)]
        random = np.random.default_rng([seed, 1])
        shape = (2, self.groups * self.size, width + 2)
        self.tables = (random.random(shape, dtype=np.float32) - 0.5) / (width + 1)
        self.squares = np.ones(shape, np.float32)
        for table, constant in ((0, width + 1), (1, width)):
            self.tables[table, :, constant] = 1.0
            self.squares[table, :, constant] = np.inf  # a step divided by infinity: it stays 1

    def epoch(self, number: int, seed: int, workers: int) -> Iterator[tuple[int, float]]:
        """One pass over all cells, in an order that depends on seed and number alone.

        Yields:
            After each diagonal of blocks, how many cells it had and the sum of their losses (equation 8,
            halved).
        """
        with ThreadPoolExecutor(workers) as pool:
            for shift in np.random.default_rng([seed, 2, number]).permutation(self.groups):
                columns = (np.arange(self.groups) + shift) % self.groups
                yield (
                    sum(self.blocks[min(i, j)].size(max(i, j)) for i, j in enumerate(columns)),
                    sum(pool.map(self._update, range(self.groups), columns)),
                )

    def _update(self, i: int, j: int) -> float:
        """One step on the words of group i and the contexts of group j; returns the summed loss of the block.

        A block below the diagonal is the mirror image of a stored one: words and contexts change places.
        """
        rows, columns, counts = self.blocks[min(i, j)].read(max(i, j), self.size)
        if not len(counts):
            return 0.0
        word, context = (slice(g * self.size, (g + 1) * self.size) for g in (i, j))
        sides = [
            (self.tables[0, word], self.squares[0, word]),
            (self.tables[1, context], self.squares[1, context]),
        ]
        if i > j:
            sides.reverse()
        (left, left_squares), (right, right_squares) = sides  # [R, D + 2]
        weighted, loss = weighted_errors(left, right, rows, columns, counts)
        sparse = csr_matrix((weighted, columns, rows), shape=(self.size, self.size))
        left_gradient, right_gradient = sparse @ right, sparse.T @ left
        # AdaGrad (Duchi et al. 2011) sums the squares of single cells' gradients, as if they came one by one.
        sparse.data = np.square(weighted)
        left_squares += sparse @ np.square(right)
        right_squares += sparse.T @ np.square(left)
        left -= self.rate * left_gradient / np.sqrt(left_squares)
        right -= self.rate * right_gradient / np.sqrt(right_squares)
        return loss

    def vectors(self) -> np.ndarray:
        """The sum of each word's two vectors, `[W, D]`, in the order of the vocabulary (section 4.2)."""
        vectors: np.ndarray = (self.tables[0] + self.tables[1])[self.places, : self.width]
        return vectors


def weighted_errors(
    left: np.ndarray, right: np.ndarray, rows: np.ndarray, columns: np.ndarray, counts: np.ndarray
) -> tuple[np.ndarray, float]:
    """f(X) (w . c + b + b' - log X) for the cells of a block, and half the sum of f(X) error^2.

    Args:
        left, right: rows with their biases, `[R, D + 2]`.
        rows: where each row's cells begin, `[R + 1]`, int32.
        columns: column of each cell, `[N]`, int32.
        counts: X, `[N]`.
    """
    places, values = (torch.from_numpy(rows), torch.from_numpy(columns)), torch.zeros(len(counts))
    pattern = torch.sparse_csr_tensor(*places, values, (len(left), len(right)), check_invariants=False)
    product = torch.sparse.sampled_addmm(pattern, torch.from_numpy(left), torch.from_numpy(right).T)
    error = product.values().numpy() - np.log(counts)  # [N]
    weighted = error * np.minimum(counts / np.float32(SATURATION), 1) ** np.float32(POWER)
    return weighted, 0.5 * float(weighted @ error)


class _GroupOfCells:
    """The stored cells of one group of rows, memory-mapped."""

    def __init__(self, path: Path) -> None:
        self.starts = np.load(f"{path}.starts.npy")
        self.rows, self.columns, self.counts = (
            np.load(f"{path}.{kind}.npy", mmap_mode="r") for kind in ("rows", "columns", "counts")
        )

    def size(self, group: int) -> int:
        return int(self.starts[group + 1] - self.starts[group])

    def read(self, group: int, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The block in a group of columns: where each row begins `[R + 1]`, columns `[N]`, counts `[N]`."""
        part = slice(self.starts[group], self.starts[group + 1])
        begins = np.searchsorted(self.rows[part], np.arange(size + 1)).astype(np.int32)
        return begins, self.columns[part].astype(np.int32), np.array(self.counts[part])
