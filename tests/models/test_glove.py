"""GloVe: the counts against plain loops, a step against autograd, and what it finds in planted text."""

import tracemalloc
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.errors import HeadstartError
from headstart.models.vectors import glove
from headstart.models.vectors.glove import Glove, cooccurrences, count_cells, groups_of, weighted_errors
from headstart.models.vectors.word_vectors import WordVectors


def planted(lines: int, seed: int = 0) -> list[list[str]]:
    """Lines about one of four topics, each with eight words of its own, among words that are everywhere."""
    random = np.random.default_rng(seed)
    return [
        [
            f"t{topic}w{random.integers(8)}" if random.random() < 0.6 else f"e{random.integers(8)}"
            for _ in range(random.integers(5, 25))
        ]
        for topic in random.integers(4, size=lines)
    ]


def write(path: Path, lines: list[list[str]]) -> Path:
    path.write_text("".join(" ".join(line) + "\n" for line in lines), encoding="utf-8")
    return path


def matrix(folder: Path, words: int, seed: int) -> np.ndarray:
    """The counts in a folder of cells as a dense matrix in the order of the vocabulary."""
    groups, size, places = groups_of(words, seed)
    dense = np.zeros((groups * size, groups * size))
    for i in range(groups):
        part = glove._GroupOfCells(folder / f"cells-{i:05d}")
        for j in range(i, groups):
            begins, columns, counts = part.read(j, size)
            rows = np.repeat(np.arange(size), np.diff(begins))
            assert not dense[i * size + rows, j * size + columns].any(), "no cell twice"
            dense[i * size + rows, j * size + columns] = counts
            dense[j * size + columns, i * size + rows] = counts
    return dense[np.ix_(places, places)]


def counted_by_hand(lines: list[list[str]], words: list[str], window: int) -> np.ndarray:
    number = {word: place for place, word in enumerate(words)}
    dense = np.zeros((len(words), len(words)))
    for line in lines:
        known = [number[word] for word in line if word in number]
        for here, word in enumerate(known):
            for there in range(max(0, here - window), here):
                dense[word, known[there]] += 1 / (here - there)
                dense[known[there], word] += 1 / (here - there)
    return dense


@given(
    lines=st.lists(st.lists(st.integers(0, 5), max_size=9), max_size=6),
    window=st.integers(1, 4),
    groups=st.integers(1, 3),
)
def test_one_chunk_counted_by_hand(lines, window, groups) -> None:
    size = -(-6 // groups)
    ends = np.cumsum([len(line) for line in lines]).astype(np.int64)
    places = np.array([word for line in lines for word in line], np.int64)
    keys, counts = cooccurrences(places, ends, window, groups, size)
    assert (np.diff(keys) > 0).all()
    expected = counted_by_hand([[str(w) for w in line] for line in lines], [str(w) for w in range(6)], window)
    found = np.zeros_like(expected)
    for key, count in zip(keys, counts, strict=True):
        (i, j), (r, c) = divmod(key // size**2, groups), divmod(key % size**2, size)
        assert i <= j
        found[i * size + r, j * size + c] = count
        found[j * size + c, i * size + r] = count
    assert found == pytest.approx(expected)


def test_counts_of_a_file_whatever_the_workers_and_chunks(tmp_path, monkeypatch) -> None:
    lines = planted(300)
    words = sorted({word for line in lines for word in line} - {"e3"})  # e3 is outside the vocabulary
    text = write(tmp_path / "text.txt", lines)
    expected = counted_by_hand(lines, words, 4)
    stored = count_cells(text, words, 4, 7, tmp_path / "one", workers=1)
    assert matrix(tmp_path / "one", len(words), 7) == pytest.approx(expected, rel=1e-6)
    assert stored >= (expected > 0).sum() / 2
    monkeypatch.setattr(glove, "CHUNK_BYTES", 1000)
    count_cells(text, words, 4, 7, tmp_path / "many", workers=2)
    assert matrix(tmp_path / "many", len(words), 7) == pytest.approx(expected, rel=1e-6)
    assert not (tmp_path / "many" / "runs").exists()


def test_an_interrupted_count_leaves_nothing_that_counts_as_whole(tmp_path, monkeypatch) -> None:
    lines = planted(50)
    words = sorted({word for line in lines for word in line})
    text = write(tmp_path / "text.txt", lines)
    with monkeypatch.context() as patch:
        patch.setattr(glove, "_merge", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            count_cells(text, words, 4, 0, tmp_path / "cells", workers=1)
    assert list(tmp_path.iterdir()) == [text]
    cells = count_cells(text, words, 4, 0, tmp_path / "cells", workers=1)
    text.write_text("")  # a whole folder is taken as it is
    assert count_cells(text, words, 4, 0, tmp_path / "cells", workers=1) == cells


def test_merging_holds_one_group_at_a_time(tmp_path, monkeypatch) -> None:
    random = np.random.default_rng(0)
    words = [f"w{n}" for n in range(640)]
    lines = [[words[n] for n in random.integers(640, size=100)] for _ in range(300)]
    text = write(tmp_path / "text.txt", lines)
    peaks, merge = [], glove._merge

    def traced(*given) -> int:
        tracemalloc.start()
        cells = merge(*given)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        return cells

    monkeypatch.setattr(glove, "_merge", traced)
    cells = count_cells(text, words, 10, 0, tmp_path / "cells", workers=1)
    assert len(peaks) == glove.FEWEST_GROUPS
    assert max(peaks) < cells * 16 / 2, "less than half of what all keys and counts together take"


def test_text_without_pairs_is_a_sentence(tmp_path) -> None:
    with pytest.raises(HeadstartError, match="no two words"):
        count_cells(write(tmp_path / "text.txt", [["a"], ["b"]]), ["a", "b"], 5, 0, tmp_path / "cells", 1)
    assert not (tmp_path / "cells").exists()


@pytest.fixture(scope="module")
def cells(tmp_path_factory) -> tuple[Path, list[str]]:
    folder = tmp_path_factory.mktemp("glove")
    lines = planted(1500)
    words = sorted({word for line in lines for word in line})
    count_cells(write(folder / "text.txt", lines), words, 10, 0, folder / "cells", workers=1)
    return folder / "cells", words


@settings(max_examples=20)
@given(st.integers(0, 1000))
def test_errors_and_their_gradient_are_autograds(seed) -> None:
    """Equation 8, halved: its gradient is what a step multiplies out of `weighted_errors`."""
    random = np.random.default_rng(seed)
    dense = np.where(random.random((6, 6)) < 0.5, random.integers(1, 400, (6, 6)), 0).astype(np.float32)
    left, right = random.normal(size=(2, 6, 5)).astype(np.float32)
    left[:, -1], right[:, -2] = 1, 1
    rows = np.concatenate([[0], np.cumsum((dense > 0).sum(1))]).astype(np.int32)
    columns, counts = np.nonzero(dense)[1].astype(np.int32), dense[dense > 0]
    weighted, loss = weighted_errors(left, right, rows, columns, counts)

    a, b = (torch.from_numpy(side).double().requires_grad_() for side in (left, right))
    target = torch.from_numpy(np.maximum(dense, 1)).double()
    weight = torch.from_numpy(np.where(dense > 0, np.minimum(dense / 100, 1) ** 0.75, 0)).double()
    product = a[:, :-2] @ b[:, :-2].T + a[:, -2:-1] * b[:, -2] + b[:, -1] * a[:, -1:]  # w.c + b + b'
    expected = 0.5 * (weight * (product - target.log()) ** 2).sum()
    assert loss == pytest.approx(expected.item(), rel=1e-4)
    spread = np.zeros_like(dense)
    spread[dense > 0] = weighted
    for ours, theirs in zip(
        (spread @ right, spread.T @ left), torch.autograd.grad(expected, [a, b]), strict=True
    ):
        assert ours == pytest.approx(theirs.numpy(), rel=1e-3, abs=1e-3)


def test_a_step_is_adagrad_over_the_cells_of_a_block(cells) -> None:
    folder, words = cells
    ours = Glove(folder, len(words), 4, 0.05, seed=3)
    i, j = 2, 5
    left, right = (
        ours.tables[0, 2 * ours.size : 3 * ours.size],
        ours.tables[1, 5 * ours.size : 6 * ours.size],
    )
    left, right = left.astype(np.float64), right.astype(np.float64)
    begins, columns, counts = ours.blocks[i].read(j, ours.size)
    gradients, squares = [np.zeros_like(left) for _ in range(2)], [np.ones_like(left) for _ in range(2)]
    for row in range(ours.size):
        for column, count in zip(*(a[begins[row] : begins[row + 1]] for a in (columns, counts)), strict=True):
            error = left[row] @ right[column] - np.log(count)
            error *= min(1, count / 100) ** 0.75
            for side, place, vector in ((0, row, right[column]), (1, column, left[row])):
                gradients[side][place] += error * vector
                squares[side][place] += (error * vector) ** 2
    ours._update(i, j)
    for side, before, constant in ((0, left, 5), (1, right, 4)):
        group = (i, j)[side]
        expected = before - 0.05 * gradients[side] / np.sqrt(squares[side])
        expected[:, constant] = 1
        part = slice(group * ours.size, (group + 1) * ours.size)
        assert ours.tables[side, part] == pytest.approx(expected, abs=1e-5)


def test_the_loss_falls_and_planted_topics_are_found(cells) -> None:
    folder, words = cells
    ours = Glove(folder, len(words), 10, 0.05, seed=0)
    losses = [sum(loss for _, loss in ours.epoch(epoch, 0, workers=1)) for epoch in range(25)]
    assert all(after < before for before, after in pairwise(losses))
    assert losses[-1] < 0.2 * losses[0]
    vectors = WordVectors(words, np.zeros(len(words)), ours.vectors())
    for word in words:
        if word.startswith("t"):
            assert {other[:2] for other, _ in vectors.nearest(word, 5)} == {word[:2]}, word


def test_every_cell_counts_once_in_each_direction_and_threads_change_nothing(cells) -> None:
    folder, words = cells
    one, several = (Glove(folder, len(words), 6, 0.05, seed=1) for _ in range(2))
    first = [list(one.epoch(epoch, 4, workers=1)) for epoch in range(2)]
    second = [list(several.epoch(epoch, 4, workers=3)) for epoch in range(2)]
    assert first == second
    assert np.array_equal(one.vectors(), several.vectors())
    cells_of_pass = (matrix(folder, len(words), 0) > 0).sum()
    assert sum(number for number, _ in first[0]) == cells_of_pass
    other = Glove(folder, len(words), 6, 0.05, seed=2)
    assert not np.array_equal(Glove(folder, len(words), 6, 0.05, seed=1).vectors(), other.vectors())
